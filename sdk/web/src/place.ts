/**
 * Which stream this tab had last, so that a page that was reloaded takes its own place again. It
 * lies in sessionStorage, which a duplicated tab has a copy of: a lock tells whose it is.
 */

const held = new Set<string>();
/** Stands before the name of a stream whose page has said goodbye. */
const LEFT = '!';

/** One media element's place. */
export interface Place {
  /** The stream that had this place before, if no other tab has it. */
  previous: () => Promise<string | undefined>;
  /** Keeps the name of the stream that has it now; the answer lets go of it. */
  keep: (id: string) => Promise<() => void>;
  /** The page is left: whoever comes to this tab next is its successor. */
  leave: (id: string) => void;
  free: () => void;
}

export const place = (): Place => {
  let n = 0;
  while (held.has('streamgate:' + n)) n++;
  const key = 'streamgate:' + n;
  held.add(key);

  const write = (value: string) => {
    try {
      sessionStorage.setItem(key, value);
    } catch {
      // Without storage a reload is a new viewer on the same device.
    }
  };
  const lock = (id: string) => 'streamgate:' + id;
  return {
    async previous() {
      try {
        const kept = sessionStorage.getItem(key);
        if (!kept) return;
        if (kept[0] === LEFT) return kept.slice(1);
        const free = await navigator.locks?.request(lock(kept), { ifAvailable: true }, (it) => !!it);
        return free === false ? undefined : kept;
      } catch {
        return;
      }
    },
    keep(id) {
      write(id);
      return new Promise<() => void>((kept) => {
        const hold = () => new Promise<void>(kept);
        if (navigator.locks) navigator.locks.request(lock(id), hold).catch(hold);
        else hold();
      });
    },
    leave: (id) => write(LEFT + id),
    free: () => held.delete(key),
  };
};
