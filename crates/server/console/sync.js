// One WebSocket for all live queries. It comes back by itself, and with its cookies: what the server still knows
// it does not send again.

const FIRST_RETRY = 300;
const LAST_RETRY = 5000;

export class Sync {
  #socket = null;
  #subscriptions = new Map();
  #next = 1;
  #retry = FIRST_RETRY;
  #onState;

  constructor(onState) {
    this.#onState = onState;
    this.#connect();
  }

  /** `take` gets each message: `{snapshot}`, `{change}`, `{current}` or `{error}`. */
  subscribe(sql, params, take) {
    const id = this.#next++;
    this.#subscriptions.set(id, { sql, params, take, cookie: undefined });
    this.#open(id);
    return id;
  }

  unsubscribe(id) {
    if (this.#subscriptions.delete(id)) this.#send({ unsubscribe: { id } });
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/v1/sync`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#retry = FIRST_RETRY;
      this.#onState("connected");
      for (const id of this.#subscriptions.keys()) this.#open(id);
    };
    socket.onmessage = (message) => this.#take(JSON.parse(message.data));
    socket.onclose = () => {
      this.#onState("lost");
      setTimeout(() => this.#connect(), this.#retry);
      this.#retry = Math.min(this.#retry * 2, LAST_RETRY);
    };
  }

  #open(id) {
    const { sql, params, cookie } = this.#subscriptions.get(id);
    this.#send({ subscribe: { id, sql, params, cookie } });
  }

  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #take(message) {
    for (const news of message.poke?.changes ?? []) {
      const subscription = this.#subscriptions.get(news.id);
      if (!subscription) continue;
      if (news.cookie) subscription.cookie = news.error ? undefined : news.cookie;
      else this.#subscriptions.delete(news.id);
      subscription.take(news);
    }
  }
}
