// Light, dark, or as the system has it.
import { signal } from "@preact/signals";

const system = matchMedia("(prefers-color-scheme: dark)");
export const theme = signal(document.documentElement.dataset.theme ?? "system");

/** Changes with every switch, so that canvases draw again. */
export const painted = signal(0);
system.addEventListener("change", () => (painted.value += 1));

export function setTheme(name) {
  theme.value = name;
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    if (name === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", name);
  } catch {
    // Kept for this visit only.
  }
  painted.value += 1;
}

export const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** A color of the style sheet as it is in the present theme, for canvases: they understand no `light-dark()`. */
export function paint(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
