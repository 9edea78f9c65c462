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
