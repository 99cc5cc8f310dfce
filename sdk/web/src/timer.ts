/** Calls back once after a while, the last `set` counts. */
export interface Timer {
  set: (ms: number) => void;
  clear: () => void;
}

const SOURCE = 'let t;onmessage=e=>{clearTimeout(t);t=setTimeout(postMessage,e.data,0)}';

/**
 * A timer that keeps time in a hidden tab, where the page's own are put off by up to a minute: it
 * runs in a worker. Where a policy forbids workers from blobs, the page's own has to do.
 */
export const timer = (call: () => void): Timer => {
  let worker: Worker | null | undefined;
  let plain: ReturnType<typeof setTimeout>;
  let due: number;
  const set = (ms: number) => {
    due = Date.now() + ms;
    clearTimeout(plain);
    if (worker === undefined) {
      const source = URL.createObjectURL(new Blob([SOURCE]));
      try {
        worker = new Worker(source);
        worker.onmessage = call;
        worker.onerror = () => {
          worker = null;
          set(due - Date.now());
        };
      } catch {
        worker = null;
      }
      URL.revokeObjectURL(source);
    }
    if (worker) worker.postMessage(ms);
    else plain = setTimeout(call, ms);
  };
  const clear = () => {
    clearTimeout(plain);
    worker?.terminate();
    worker &&= undefined;
  };
  return { set, clear };
};
