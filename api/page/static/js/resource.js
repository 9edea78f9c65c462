// Something that is asked of the service: what is known of it, and what went wrong.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { isPassing, PATIENCE } from "./api.js";
import { growing } from "./growing.js";

/**
 * Ask again whenever `dependencies` change; an answer to an older question is dropped. What was known stays visible
 * while the next answer is on its way, and what fails for a while is asked again by itself.
 */
export function useResource(load, dependencies) {
  const [state, setState] = useState({ data: undefined, problem: null, loading: true });
  const asker = useMemo(() => makeAsker(load, setState), dependencies);
  useEffect(() => {
    asker.reload();
    return asker.stop;
  }, [asker]);
  return { ...state, reload: asker.reload };
}

/** One question. Asked again while it is under way it is asked once more at the end: where answers take longer than a
 * ledger is quiet, none would ever come if each was given up for the next. */
function makeAsker(load, setState) {
  const closed = new AbortController();
  const { signal } = closed;
  let timer = 0;
  const reload = growing(async () => {
    clearTimeout(timer);
    if (signal.aborted) return;
    setState((before) => ({ ...before, loading: true }));
    try {
      const data = await load(signal);
      if (!signal.aborted) setState({ data, problem: null, loading: false });
    } catch (problem) {
      if (signal.aborted) return;
      setState((before) => ({ data: before.data, problem, loading: false }));
      if (isPassing(problem)) timer = setTimeout(reload, PATIENCE);
    }
  });
  const stop = () => {
    closed.abort();
    clearTimeout(timer);
  };
  return { reload, stop };
}

/** Call it once, some time after the last of several calls. */
export function useLater(action, wait) {
  const timer = useRef(0);
  const latest = useRef(action);
  latest.current = action;
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    timer.current ||= setTimeout(() => {
      timer.current = 0;
      latest.current();
    }, wait);
  }, [wait]);
}

/** The time, again and again while somebody needs it to pass. */
export function useNow(every, active = true) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!active) return undefined;
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every, active]);
  return now;
}
