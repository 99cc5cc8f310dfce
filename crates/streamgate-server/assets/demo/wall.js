// The wall: four players, what the server says of their account, and what happened.
"use strict";

const DEVICES = [
  { device: "tv", name: "Living room TV", type: "tv" },
  { device: "phone", name: "Ann's phone", type: "phone" },
  { device: "tablet", name: "Tablet", type: "tablet" },
  { device: "laptop", name: "Ben's laptop", type: "laptop" },
];
const LIMIT = 3;
const LOOK_MS = 250;
const LOOK_MAX_MS = 3000;
const BETWEEN_MS = 700;
const STORY_MAX = 8;
// Each visit is an account of its own, so that two visitors don't count together.
const USER = `demo-${crypto.randomUUID()}`;
const began = performance.now();
const byId = (id) => document.getElementById(id);

/** What the server is still to say after something was done: the place of a device is free. */
const awaited = new Map();

function tell(text, outcome = "") {
  const item = document.createElement("li");
  const [time, span, strong] = ["time", "span", "strong"].map((name) => document.createElement(name));
  time.textContent = `${((performance.now() - began) / 1000).toFixed(1)} s`;
  span.textContent = text;
  strong.textContent = outcome;
  item.append(time, span, strong);
  byId("story").prepend(item);
  while (STORY_MAX < byId("story").children.length) {
    byId("story").lastChild.remove();
  }
}

function player({ device, name, type }) {
  const article = byId("player").content.cloneNode(true).firstElementChild;
  const frame = article.querySelector("iframe");
  const title = article.querySelector("h2");
  article.id = device;
  title.textContent = name;
  frame.title = name;
  const inside = () => frame.contentWindow.player;
  const buttons = [...article.querySelectorAll("button")];
  const reset = () => {
    article.classList.remove("hidden");
    for (const button of buttons.filter((it) => it.ariaPressed)) {
      button.ariaPressed = "false";
    }
  };
  const leaves = (text) => {
    tell(`${name} ${text}`);
    awaited.set(device, { name, since: performance.now() });
  };
  const acts = {
    crash() {
      reset();
      inside().crash();
      leaves("lost its power");
    },
    stop() {
      reset();
      leaves("was closed");
      inside().stop();
    },
    offline(isPressed) {
      inside().offline(isPressed);
      tell(`${name} ${isPressed ? "has no network, and plays on" : "is back on the network"}`);
    },
    hide(isPressed) {
      inside().hide(isPressed);
      article.classList.toggle("hidden", isPressed);
      tell(`${name} ${isPressed ? "is in the background, and keeps its place" : "is in front again"}`);
    },
  };
  for (const button of buttons) {
    const isSwitch = ["offline", "hide"].includes(button.dataset.do);
    if (isSwitch) {
      button.setAttribute("aria-pressed", "false");
    }
    button.addEventListener("click", () => {
      const isPressed = button.getAttribute("aria-pressed") !== "true";
      if (isSwitch) {
        button.setAttribute("aria-pressed", String(isPressed));
      }
      acts[button.dataset.do](isPressed);
    });
  }
  byId("players").append(article);
  return {
    switchOn: (listens) => new Promise((opened) => {
      // Each time that the device is switched on.
      frame.addEventListener("load", () => {
        reset();
        inside().start((text) => tell(`${name} ${text}`));
        opened();
      });
      frame.src = `player.html?${new URLSearchParams({ user: USER, device, name, type, listens })}`;
    }),
    /** What is off can't be crashed. */
    refresh() {
      for (const button of buttons) {
        button.disabled = !inside()?.isOn;
      }
    },
  };
}

/**
 * Whether the players of this tab listen for news: of several tabs only one's do. Over HTTP/1.1 a
 * browser has six connections to a server, and each player that listens keeps one.
 */
const mayListen = () => new Promise((resolve) => {
  const held = (lock) => {
    resolve(Boolean(lock));
    // For as long as the tab is open.
    return lock && new Promise(() => {});
  };
  navigator.locks?.request("streamgate-demo", { ifAvailable: true }, held) ?? resolve(true);
});

const age = (from) => {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(from)) / 1000));
  return `${seconds} s`;
};

function show(streams) {
  const taken = streams.length;
  byId("count").textContent = `${taken} of ${LIMIT} taken`;
  byId("count").classList.toggle("full", LIMIT <= taken);
  const places = Array.from({ length: Math.max(LIMIT, taken) }, (_, index) => {
    const item = byId("place").content.cloneNode(true).firstElementChild;
    const stream = streams[index];
    item.className = stream?.state ?? "free";
    item.querySelector("b").textContent = stream?.device?.name ?? "free";
    item.querySelector("span").textContent = stream
      ? stream.state === "suspect" ? "silent: who needs the place gets it" : `live for ${age(stream.startedAt)}`
      : "";
    return item;
  });
  byId("places").replaceChildren(...places);
  for (const [device, { name, since }] of awaited) {
    const stream = streams.find((it) => it.device?.id === device);
    if (stream?.state !== "live") {
      const took = ((performance.now() - since) / 1000).toFixed(1);
      tell(`The place of ${name} can be had again`, `after ${took} s`);
      awaited.delete(device);
    }
  }
}

async function look(players) {
  for (const it of players) {
    it.refresh();
  }
  try {
    const signal = AbortSignal.timeout(LOOK_MAX_MS);
    const answer = await fetch(`/v1/users/${USER}/streams`, { signal });
    show((await answer.json()).streams);
  } catch {
    byId("count").textContent = "the server is away; the players play on";
  }
  setTimeout(look, LOOK_MS, players);
}

async function open() {
  const players = DEVICES.map(player);
  look(players);
  const listens = await mayListen();
  if (!listens) {
    tell("Another tab has a demo, too: the players of this one hear of what happens at their next heartbeat");
  }
  for (const it of players) {
    await it.switchOn(listens);
    await new Promise((later) => setTimeout(later, BETWEEN_MS));
  }
}

open();
