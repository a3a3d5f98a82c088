// Data chunks, texts in two languages, light and dark mode. Data is inserted as text only, never parsed as HTML.
"use strict";
(function () {
  const html = document.documentElement;
  const root = html.dataset.root;
  const chunks = new Map();
  const waiting = new Map();
  const listeners = [];
  const more = {};

  // -- data: scripts call cscbench.chunk(key, value), because fetch does not work from file://
  function chunk(key, value) {
    chunks.set(key, value);
    const pending = waiting.get(key);
    if (pending) pending.done(value);
  }
  function get(key) { return chunks.get(key); }
  function load(key) {
    if (chunks.has(key)) return Promise.resolve(chunks.get(key));
    if (!waiting.has(key)) {
      const pending = {};
      pending.promise = new Promise((done, failed) => { pending.done = done; pending.failed = failed; });
      waiting.set(key, pending);
      const script = document.createElement("script");
      script.src = root + "data/" + key + ".js";
      script.onerror = () => pending.failed(new Error("cannot load " + script.src));
      document.head.append(script);
    }
    return waiting.get(key).promise;
  }

  // -- settings are stored in the address and, if the browser allows it, in its storage
  function remember(key, value) { try { localStorage.setItem("cscbench." + key, value); return true; } catch (_) { return false; } }
  function recall(key) { try { return localStorage.getItem("cscbench." + key); } catch (_) { return null; } }
  function state() { return new URLSearchParams(location.hash.slice(1)); }
  function setState(changes) {
    const now = state();
    for (const [key, value] of Object.entries(changes)) value ? now.set(key, value) : now.delete(key);
    const text = now.toString().replace(/%2C/g, ",");
    if (text !== location.hash.slice(1)) location.replace("#" + text);
  }

  // -- elements: el("td", {class: "num"}, "text", node)
  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  // -- texts
  let language = "en";
  function text(key, values) {
    const bilingual = more[key] || get("texts")[key];
    const template = bilingual ? bilingual[language] : key.replace(/^(metric|stage)\./, "");
    return values ? template.replace(/\{(\w+)\}/g, (field, name) => (name in values ? values[name] : field)) : template;
  }
  function say(key, values, tag) {
    const node = el(tag || "span", { "data-t": key, "data-a": values ? JSON.stringify(values) : null });
    node.textContent = text(key, values);
    return node;
  }
  function words(bilingual, tag) {
    const node = el(tag || "span", { "data-en": bilingual.en, "data-zh": bilingual.zh });
    node.textContent = bilingual[language];
    return node;
  }
  function label(node, key) {
    node.dataset.tLabel = key;
    node.setAttribute("aria-label", text(key));
    return node;
  }
  function translate() {
    html.lang = language === "zh" ? "zh-Hans" : "en";
    for (const node of document.querySelectorAll("[data-t]")) {
      node.textContent = text(node.dataset.t, node.dataset.a ? JSON.parse(node.dataset.a) : null);
    }
    for (const node of document.querySelectorAll("[data-en]")) node.textContent = node.dataset[language];
    for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", text(node.dataset.tLabel));
    const button = document.getElementById("language");
    button.textContent = language === "zh" ? "English" : "中文";
    button.lang = language === "zh" ? "en" : "zh-Hans";
  }
  function setLanguage(code) {
    language = code === "zh" ? "zh" : "en";
    translate();
    listeners.forEach((listener) => listener());
  }
  function extend(texts) { Object.assign(more, texts); }

  // -- light and dark
  function dark() {
    return html.dataset.theme ? html.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function setTheme(theme) {
    if (theme === "dark" || theme === "light") html.dataset.theme = theme;
    document.getElementById("theme").setAttribute("aria-pressed", String(dark()));
  }

  function start() {
    setTheme(state().get("theme") || recall("theme"));
    setLanguage(state().get("lang") || recall("lang") || (navigator.language || "").slice(0, 2));
    document.getElementById("language").addEventListener("click", () => {
      setLanguage(language === "zh" ? "en" : "zh");
      save("lang", language);
    });
    document.getElementById("theme").addEventListener("click", () => {
      setTheme(dark() ? "light" : "dark");
      save("theme", html.dataset.theme);
      listeners.forEach((listener) => listener());
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => listeners.forEach((listener) => listener()));
    document.addEventListener("click", carrySettings);
    addEventListener("hashchange", () => {
      const code = state().get("lang");
      if (code && code !== language) setLanguage(code);
    });
  }
  function save(key, value) {
    if (!remember(key, value) || state().get(key)) setState({ [key]: value });
  }
  // Without storage, the address carries language and theme from page to page.
  function carrySettings(event) {
    const link = event.target.closest && event.target.closest("a[href]");
    if (!link || link.hasAttribute("download") || !/\.html(#|$)/.test(link.getAttribute("href"))) return;
    const [path, hash] = link.getAttribute("href").split("#");
    const settings = new URLSearchParams(hash || "");
    for (const key of ["lang", "theme"]) if (state().get(key)) settings.set(key, state().get(key));
    if (settings.toString()) link.href = path + "#" + settings.toString().replace(/%2C/g, ",");
  }

  function number(value, digits) {
    return value === null || value === undefined ? "–" : value.toFixed(digits === undefined ? 1 : digits);
  }
  function size(parameters) {
    if (!parameters) return "–";
    return parameters >= 1e9 ? (parameters / 1e9).toFixed(1) + " B" : (parameters / 1e6).toFixed(0) + " M";
  }

  window.cscbench = {
    chunk, get, load, state, setState, el, text, say, words, label, extend, dark, number, size,
    language: () => language, changed: (listener) => listeners.push(listener), root, start,
  };
})();
document.addEventListener("DOMContentLoaded", () => cscbench.start());
