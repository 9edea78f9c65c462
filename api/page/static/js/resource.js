// Something that is asked of the service: what is known of it, and what went wrong.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

/**
 * Ask again whenever `dependencies` change; an answer to an older question is dropped. What was known stays visible
 * while the next answer is on its way.
 */
export function useResource(load, dependencies) {
  const [state, setState] = useState({ data: undefined, problem: null, loading: true });
  const current = useRef(null);
  const reload = useCallback(() => {
    current.current?.abort();
    const controller = new AbortController();
    current.current = controller;
    setState((before) => ({ ...before, loading: true }));
    Promise.resolve(load(controller.signal)).then(
      (data) => !controller.signal.aborted && setState({ data, problem: null, loading: false }),
      (problem) =>
        !controller.signal.aborted && setState((before) => ({ data: before.data, problem, loading: false })),
    );
  }, dependencies);
  useEffect(() => {
    reload();
    return () => current.current?.abort();
  }, [reload]);
  return { ...state, reload };
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
