/** Asks again and again, while somebody looks: one at a time, and not of a page that is hidden. */

/**
 * Calls `act` now and every `ms`; its signal is aborted at the end.
 * @param {number} ms @param {(signal: AbortSignal) => Promise<void>} act says itself what went wrong
 * @returns {{now: () => Promise<void>, end: () => void}} `now` does not wait for the next turn; while one is under way it is the
 *   one after that
 */
export function every(ms, act) {
  const ending = new AbortController();
  let busy = false;
  let again = false;
  const now = async () => {
    again = busy;
    if (busy || document.hidden || ending.signal.aborted) return;
    busy = true;
    try {
      await act(ending.signal);
    } finally {
      busy = false;
    }
    if (again) await now();
  };
  const timer = setInterval(() => {
    if (!busy) void now();
  }, ms);
  void now();
  return {
    now,
    end: () => {
      clearInterval(timer);
      ending.abort();
    },
  };
}
