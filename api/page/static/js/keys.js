// The keyboard: what each key does in the view at hand, and the list of them for the help.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

/** Groups of keys in force, the innermost last: `{ title, keys: { j: [what, action] } }`. */
export const keyGroups = signal([]);

let first = null; // of two keys after each other, as "g a"
let forget = 0;

const isText = (target) =>
  target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
  (target.tagName === "INPUT" && !/^(range|checkbox|radio|button)$/.test(target.type));

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return; // it has the keyboard to itself
  if (isText(event.target) && event.key !== "Escape") return;
  const name = first ? `${first} ${event.key}` : event.key;
  first = null;
  const groups = [...keyGroups.peek()].reverse();
  for (const { keys } of groups) {
    const found = keys[name];
    if (found) {
      if (found[1](event) !== false) event.preventDefault();
      return;
    }
  }
  if (groups.some(({ keys }) => Object.keys(keys).some((each) => each.startsWith(`${event.key} `)))) {
    first = event.key;
    clearTimeout(forget);
    forget = setTimeout(() => (first = null), 1500);
  }
});

/** Keys of a component, as long as it is there. An action that gives `false` leaves the key to the browser. */
export function useKeys(title, keys, active = true) {
  const latest = useRef(keys);
  latest.current = keys;
  // In force with what is seen: a usual effect waits for the next picture, which a busy browser puts off.
  useLayoutEffect(() => {
    if (!active) return undefined;
    const bound = Object.fromEntries(
      Object.entries(keys).map(([name, [what]]) => [name, [what, (event) => latest.current[name]?.[1](event)]]),
    );
    const group = { title, keys: bound };
    keyGroups.value = [...keyGroups.peek(), group];
    return () => {
      keyGroups.value = keyGroups.peek().filter((each) => each !== group);
    };
  }, [title, active, Object.keys(keys).join()]);
}
