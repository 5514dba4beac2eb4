// Rates per second, from the differences between counters of the API.

class Rates {
  #samples = new Map();

  /** Records counters and returns their rates; null if there is no earlier sample or a counter was reset. */
  sample(key, counters) {
    const at = performance.now();
    const last = this.#samples.get(key);
    const seconds = last ? (at - last.at) / 1000 : 0;
    if (last && seconds < 0.5) {
      return last.rates;
    }
    let rates = null;
    if (last && Object.keys(counters).every((name) => counters[name] >= last.counters[name])) {
      rates = Object.fromEntries(
        Object.keys(counters).map((name) => [name, (counters[name] - last.counters[name]) / seconds]));
    }
    this.#samples.set(key, {at, counters, rates});
    return rates;
  }

  /** Forgets samples that are too old to yield the current rate. */
  removeOld() {
    const oldest = performance.now() - 15000;
    this.#samples.forEach((sample, key) => sample.at < oldest && this.#samples.delete(key));
  }

  clear() {
    this.#samples.clear();
  }
}

export const rates = new Rates();

/** Rates of new connections and of bytes, for a Service or its endpoints together. */
export const trafficRates = (key, {total, bytesToClient, bytesToEndpoint}) =>
  rates.sample(key, {total, bytesToClient, bytesToEndpoint});
