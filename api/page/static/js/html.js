// What every view is written with: elements, hooks and signals in one import.
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
export { render, Fragment, createRef } from "preact";
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
