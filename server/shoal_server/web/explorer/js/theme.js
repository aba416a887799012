/** Light or dark: what the system says, until a person says otherwise. */

const THEME = "shoal.theme";

/** Puts the chosen theme in force; called before anything is drawn. */
export function applyTheme() {
  const chosen = localStorage.getItem(THEME);
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
}

/** Whether the page is dark now. */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Goes from the one to the other; the system's own choice is not kept, so that it is followed later too. */
export function toggleTheme() {
  const dark = !isDark();
  if (dark === matchMedia("(prefers-color-scheme: dark)").matches) localStorage.removeItem(THEME);
  else localStorage.setItem(THEME, dark ? "dark" : "light");
  applyTheme();
  window.dispatchEvent(new Event("themechange"));
}

/** Calls back when the page turns light or dark, until the signal says stop. */
export function onThemeChange(changed, signal) {
  window.addEventListener("themechange", changed, { signal });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed, { signal });
}
