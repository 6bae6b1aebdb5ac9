// Fill in and submit a page's form in Chromium, wait for the image or the error, and print what the page shows.
import { createRequire } from "node:module";

const [root, url, options] = process.argv.slice(2);
const { locale, script, width, prompt, sizes, page: kind, screenshot } = JSON.parse(options);
const { chromium } = createRequire(`${root}/web/package.json`)("playwright-core");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
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
const image = page.locator("figure img");
const src = (await image.count()) ? await image.getAttribute("src") : null;
const box = src && (await image.boundingBox());
const text = await page.locator(kind === "t2iweb" ? "p" : "#result").first().innerText();
const in_window = await page.waitForFunction(
  () => {
    const { top, bottom } = document.querySelector("figure, .problem").getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  },
  { timeout: 5000 },
).then(() => true, () => false);
const { width: page_width } = await page.locator("html").boundingBox();
if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
console.log(JSON.stringify({ src, box, text, page_width, in_window, button: await page.locator("button").first().innerText(), errors }));
await browser.close();
