import axios from "axios";

const PORT1 = "/api";
export const T2I = (parms: any) => {
  const form = new FormData();
  form.append("inputContent", parms.inputContent);
  form.append("width", parms.width);
  form.append("length", parms.length);
  return axios.post(PORT1 + `/predictor`, form);
};
