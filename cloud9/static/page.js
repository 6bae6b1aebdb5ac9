// Submit the form in place and show the time. Without this script the browser submits the form and loads a whole page.
const form = document.querySelector("form");
const result = document.querySelector("#result");

function showWaiting(startedAt) {
  const message = document.createElement("p");
  message.className = "waiting";
  const update = () => {
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    message.textContent = `${result.dataset.waiting} ${seconds} ${result.dataset.seconds}`;
  };
  update();
  result.replaceChildren(message);
  return setInterval(update, 1000);
}

function showNetworkError() {
  const message = document.createElement("p");
  message.className = "problem";
  message.setAttribute("role", "alert");
  message.textContent = result.dataset.cutOff;
  result.replaceChildren(message);
}

async function generate() {
  const button = form.querySelector("button");
  const timer = showWaiting(Date.now());
  result.scrollIntoView({ block: "nearest" });
  button.disabled = true;
  try {
    const response = await fetch(form.action, { method: "POST", body: new FormData(form) });
    result.innerHTML = await response.text();
    await result.querySelector("img")?.decode().catch(() => {});
    result.scrollIntoView({ block: "nearest" });
  } catch {
    showNetworkError();
  } finally {
    clearInterval(timer);
    button.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
