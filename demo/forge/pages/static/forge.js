// Keeps an open conversation up to date: everything here works without it, after a reload.
"use strict";
const live = document.getElementById("live");
let shown = null;

async function refresh() {
  if (document.hidden) return;
  // Whoever is writing an answer must not lose it.
  const fields = [...live.querySelectorAll("textarea, select")];
  if (fields.some((one) => one === document.activeElement || (one.value !== one.defaultValue && one.defaultValue !== undefined))) return;
  const answer = await fetch(live.dataset.src, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const text = await answer.text();
  if (text === shown) return;
  const is_first = shown === null;
  shown = text;
  if (is_first && text.trim() === live.innerHTML.trim()) return;
  const open = [...live.querySelectorAll("details")].map((one) => one.open);
  live.innerHTML = text;
  live.querySelectorAll("details").forEach((one, index) => { if (index < open.length) one.open = open[index]; });
}

if (live) setInterval(() => refresh().catch(() => {}), 1500);
for (const chooser of document.querySelectorAll("form.me select")) {
  chooser.addEventListener("change", () => chooser.form.submit());
}
document.querySelector("#line textarea")?.focus();
