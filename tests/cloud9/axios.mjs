// The article's call in plain Node: axios and FormData, every value a text. Prints what came back.
import { createRequire } from "node:module";

const [root, url, width] = process.argv.slice(2);
const axios = createRequire(`${root}/web/package.json`)("axios");
const form = new FormData();
form.append("inputContent", "A cute panda is sitting on the sofa");
form.append("width", width);
form.append("length", "256");
const { status, headers, data } = await axios.post(`${url}/predictor`, form, { validateStatus: null });
console.log(JSON.stringify({ status, type: headers["content-type"], data }));
