// For each line of standard input, a page and what to fill in: submit its form in Chromium, wait for the image or the
// error, and print what the page shows. One Chromium serves all lines.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { chromium } = createRequire(`${process.argv[2]}/web/package.json`)("playwright-core");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
for await (const line of createInterface({ input: process.stdin })) {
  const shown = await submit(JSON.parse(line)).catch(({ stack }) => ({ failure: stack }));
  console.log(JSON.stringify(shown));
}
await browser.close();

async function submit({ url, locale, script, width, prompt, sizes, page: kind, screenshot }) {
  const context = await browser.newContext({ locale, javaScriptEnabled: script, viewport: { width, height: 800 } });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => /Content Security Policy/.test(message.text()) && errors.push(message.text()));
  await page.goto(url);
  if (kind === "t2iweb") {
    await page.locator("select").nth(0).selectOption(sizes[0]);
    await page.locator("select").nth(1).selectOption(sizes[1]);
  } else {
    await page.fill("[name=width]", sizes[0]);
    await page.fill("[name=length]", sizes[1]);
  }
  await page.fill("textarea", prompt);
  await page.locator("button").first().click();
  await page.waitForSelector("figure img, .problem", { timeout: 100_000 });
  await page.waitForLoadState(); // the style sheet may arrive after the image, which is in the document
  const image = page.locator("figure img");
  const src = (await image.count()) ? await image.getAttribute("src") : null;
  const box = src && (await image.boundingBox());
  const text = await page.locator(kind === "t2iweb" ? "p" : "#result").first().innerText();
  const in_window = await page.waitForFunction(isResultInWindow, undefined, { timeout: 60_000 }).then(
    () => true,
    () => false,
  );
  const { width: page_width } = await page.locator("html").boundingBox();
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
  const button = await page.locator("button").first().innerText();
  await context.close();
  return { src, box, text, page_width, in_window, button, errors };
}

function isResultInWindow() {
  const { top, bottom } = document.querySelector("figure, .problem").getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
}
