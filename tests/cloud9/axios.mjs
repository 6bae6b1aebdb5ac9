// Send the article's request from Node by axios and FormData, with text values, and print the response.
import { createRequire } from "node:module";

const [root, url, width] = process.argv.slice(2);
const axios = createRequire(`${root}/web/package.json`)("axios");
const form = new FormData();
form.append("inputContent", "A cute panda is sitting on the sofa");
form.append("width", width);
form.append("length", "256");
const { status, headers, data } = await axios.post(`${url}/predictor`, form, { validateStatus: null });
console.log(JSON.stringify({ status, type: headers["content-type"], data }));
