import { createApp } from "vue";
import T2I from "./T2I.vue";

createApp(T2I).mount("#app");
