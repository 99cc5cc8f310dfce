// One player: a film by hls.js, and the SDK, which is all that streamgate needs. The rest is what
// a viewer sees, and a plug that can be pulled.
"use strict";

const device = Object.fromEntries(new URLSearchParams(location.search));
const video = document.querySelector("video");
const badge = document.getElementById("badge");
const curtain = document.getElementById("curtain");
const FILM = new URL("film/film.m3u8", location.href).href;

// The network of this device. What would survive a crash of the browser does not survive a pulled
// plug, so fetchLater is not used here.
const plug = { isIn: true };
window.fetchLater = undefined;
const send = window.fetch.bind(window);
window.fetch = (...request) => (plug.isIn ? send(...request) : Promise.reject(new TypeError("the network is gone")));
const beacon = navigator.sendBeacon.bind(navigator);
navigator.sendBeacon = (...request) => plug.isIn && beacon(...request);

let stream;
let tell = () => {};
let wasLive = false;

/** Shows why nothing plays, and what the viewer can do about it. */
function draw(title, choices) {
  curtain.querySelector("p").textContent = title;
  curtain.querySelector("ul").replaceChildren(...choices.map(({ label, detail, act }) => {
    const [item, button, small] = ["li", "button", "small"].map((name) => document.createElement(name));
    button.textContent = label;
    small.textContent = detail ?? "";
    button.append(small);
    button.addEventListener("click", act);
    item.append(button);
    return item;
  }));
  curtain.hidden = false;
}

function watch() {
  curtain.hidden = true;
  video.play().catch((error) => {
    // A pause that comes meanwhile, such as the SDK's after a no, is no mistake.
    if (error.name === "NotAllowedError") {
      draw("Ready", [{ label: "Play", act: watch }]);
    }
  });
}

function start() {
  if (Hls.isSupported()) {
    const hls = new Hls();
    hls.loadSource(FILM);
    hls.attachMedia(video);
  } else {
    video.src = FILM;
  }
  stream = streamgate.attach(video, {
    url: location.origin,
    userId: device.user,
    device: { id: device.device, name: device.name, type: device.type },
    contentId: "hills",
    events: device.listens === "true",
    onState(state) {
      if (state === "live" && !wasLive) {
        tell("plays");
      }
      wasLive = ["live", "retrying"].includes(state);
    },
    onDenied({ holders, limit, takeOver }) {
      tell(`was told that ${holders.length} of ${limit} are watching`);
      const choices = holders.map((holder) => ({
        label: `Stop ${holder.device?.name ?? "another device"}`,
        detail: `since ${new Date(holder.startedAt).toLocaleTimeString()}`,
        act() {
          tell(`took over from ${holder.device?.name ?? "another device"}`);
          curtain.hidden = true;
          takeOver(holder.streamId);
        },
      }));
      draw(`${holders.length} of ${limit} are watching:`, [...choices, { label: "Try again", act: watch }]);
    },
    onStopped({ code }) {
      const told = code === "stream-replaced" ? "Another device took over" : "The stream was ended";
      tell(`was stopped: ${told}`);
      draw(`${told}.`, [{ label: "Watch here again", act: watch }]);
    },
  });
  watch();
}

/** What the wall can do to this device. */
window.player = {
  start(listener) {
    tell = listener;
    start();
  },
  get isOn() {
    return curtain.hidden;
  },
  get isPlaying() {
    return !video.paused && curtain.hidden;
  },
  crash() {
    plug.isIn = false;
    video.pause();
    draw("No power", [{ label: "Switch on again", act: () => location.reload() }]);
  },
  offline(isOffline) {
    plug.isIn = !isOffline;
    badge.hidden = !isOffline;
    badge.className = "off";
    badge.textContent = "offline, plays on";
    window.dispatchEvent(new Event(isOffline ? "offline" : "online"));
  },
  hide(isHidden) {
    for (const [name, value] of [["hidden", isHidden], ["visibilityState", isHidden ? "hidden" : "visible"]]) {
      Object.defineProperty(document, name, { configurable: true, get: () => value });
    }
    document.dispatchEvent(new Event("visibilitychange"));
  },
  stop() {
    video.pause();
    stream.stop();
    draw("Closed", [{ label: "Watch here", act: () => location.reload() }]);
  },
};
