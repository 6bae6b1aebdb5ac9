import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

// The article's configuration, with the target from the environment.
export default defineConfig({
  plugins: [vue()],
  cacheDir: ".vite",
  server: {
    host: "127.0.0.1",
    port: 0,
    proxy: {
      "/api": {
        target: process.env.FLASK_URL,
        changeOrigin: true,
        rewrite: (path: string) => path.replace(/^\/api/, ""),
      },
    },
  },
});
