// Without this script the browser sends the form itself and gets a whole page; with it the page stays and time is shown.
const form = document.querySelector("form");
const result = document.querySelector("#result");

function waiting(started) {
  const box = document.createElement("p");
  box.className = "waiting";
  const tick = () => {
    const seconds = Math.round((Date.now() - started) / 1000);
    box.textContent = `${result.dataset.drawing} ${seconds} ${result.dataset.seconds}`;
  };
  tick();
  result.replaceChildren(box);
  return setInterval(tick, 1000);
}

function failed() {
  const box = document.createElement("p");
  box.className = "problem";
  box.setAttribute("role", "alert");
  box.textContent = result.dataset.cutOff;
  result.replaceChildren(box);
}

async function draw() {
  const button = form.querySelector("button");
  const timer = waiting(Date.now());
  button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
    result.innerHTML = await answer.text();
  } catch {
    failed();
  } finally {
    clearInterval(timer);
    button.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  draw();
});
