// What to do next: a command each, and the same where people work.

const PLACES = [["command", "Command line"], ["relion", "RELION"], ["scipion", "Scipion"], ["pipeliner", "CCP-EM Pipeliner"]];
// Where hosts put their jobs tells which one started this.
const FOLDERS = [[/^External\//, "relion"], [/^Runs\/\d{6}_/, "scipion"], [/^OpusDSD\//, "pipeliner"]];

function showStep(step) {
  const place = make("p", { class: "place" });
  const command = make("div", { class: "command" }, make("code", {}, step.command), copyButton(() => step.command, `Copy the command: ${step.command}`));
  return make("li", {}, make("p", {}, withCode(step.what + ".")), place, command);
}

function showNext() {
  const steps = DATA.next_steps;
  if (steps.length === 0) return byId("next").closest(".next").remove();
  const items = steps.map(showStep);
  byId("next").append(...items);
  const buttons = PLACES.map(([key, name]) => make("button", { type: "button", "data-place": key }, name));
  const choose = (key) => {
    buttons.forEach((b) => b.setAttribute("aria-pressed", b.dataset.place === key));
    items.forEach((item, i) => {
      const place = item.querySelector(".place");
      place.hidden = key === "command";
      if (!place.hidden) place.replaceChildren(make("b", {}, `${PLACES.find((p) => p[0] === key)[1]}: `), withCode(steps[i][key] + "."));
    });
  };
  buttons.forEach((b) => b.addEventListener("click", () => choose(b.dataset.place)));
  byId("places").append(...buttons);
  choose((FOLDERS.find(([folder]) => folder.test(DATA.title)) || [null, "command"])[1]);
}
