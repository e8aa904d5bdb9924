// The rows of a live query by their names, while somebody wants them.

export class Rows {
  #sync;
  #nameOf;
  #draw;
  #subscription = null;
  #rows = new Map();

  /** `nameOf` gives a row's name, which no other row of the result has; `draw` is called after each change. */
  constructor(sync, nameOf, draw) {
    this.#sync = sync;
    this.#nameOf = nameOf;
    this.#draw = draw;
  }

  get isFollowed() {
    return this.#subscription !== null;
  }

  /** By name. What was there last stays when nothing is followed any more. */
  get all() {
    return this.#rows;
  }

  /** Follows another query, or none. */
  follow(sql) {
    if (this.#subscription !== null) this.#sync.unsubscribe(this.#subscription);
    this.#subscription = sql === null ? null : this.#sync.subscribe(sql, [], (news) => this.#take(news));
  }

  #take(news) {
    if (news.snapshot) {
      this.#rows = new Map(news.snapshot.rows.map((row) => [this.#nameOf(row), row]));
    } else if (news.change) {
      for (const { weight, row } of news.change.changes) {
        if (weight < 0) this.#rows.delete(this.#nameOf(row));
        else this.#rows.set(this.#nameOf(row), row);
      }
    } else if (news.error && !news.cookie) {
      this.#subscription = null;
    }
    this.#draw();
  }
}
