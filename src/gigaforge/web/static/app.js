"use strict";
(() => {
  // What a mark stands for, where the pointer is.
  const tip = document.getElementById("tip");
  const words = (text) => {
    const parts = text.split("; ");
    const titled = parts.filter((part) => /^[A-Z$]/.test(part));
    return (titled.length ? titled : parts).join("\n");
  };
  document.addEventListener("pointerover", (event) => {
    const mark = event.target.closest?.("[data-tip]");
    tip.hidden = !mark;
    if (mark) tip.textContent = words(mark.dataset.tip);
  });
  document.addEventListener("pointermove", (event) => {
    if (tip.hidden) return;
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const top = event.clientY + 18 + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
    tip.style.left = `${left}px`;
    tip.style.top = `${top}px`;
  });

  // The room one is in stays in sight on a narrow screen.
  document.querySelector(".rooms [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  // Ask before what cannot be taken back.
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
    else event.target.classList.add("sent");
  });

  // A choice that takes effect at once needs no button.
  for (const button of document.querySelectorAll("[data-send-button]")) button.hidden = true;
  for (const select of document.querySelectorAll("select[data-send]")) select.addEventListener("change", () => select.form.requestSubmit());

  // A form that fits what was chosen: parts for another choice are put away.
  const shown = () => {
    for (const part of document.querySelectorAll("[data-when]")) {
      const [name, value] = part.dataset.when.split("=");
      const hide = document.querySelector(`[name="${name}"]`)?.value !== value;
      part.hidden = hide;
      for (const field of part.querySelectorAll("input, select, textarea")) field.disabled = hide;
    }
  };
  document.addEventListener("change", shown);
  shown();

  // Progress of a long job, as it happens; the page is loaded anew when it is done.
  for (const place of document.querySelectorAll("[data-progress]")) {
    const source = new EventSource(place.dataset.progress);
    const line = place.querySelector("[data-stage]");
    const bar = place.querySelector("progress");
    source.addEventListener("progress", (event) => {
      const told = JSON.parse(event.data);
      if (line) line.textContent = told.stage;
      if (bar && typeof told.share === "number") bar.value = told.share;
    });
    source.addEventListener("end", () => { source.close(); window.location.reload(); });
  }
})();
