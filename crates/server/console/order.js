// The order of rows, as the server's: by column, NULLs where the query puts them.

const NUMBERS = /^(smallint|integer|bigint|real|double precision|numeric)/;

export const isNumber = (type) => NUMBERS.test(type) && !type.endsWith("[]");

/** Compares two entries `{row, key}` by `order`. */
export function compareBy(order, columns) {
  const value = (entry, place) => (place < columns.length ? entry.row[place] : entry.key?.[place - columns.length]) ?? null;
  return (a, b) => {
    for (const { column, descending, nulls_first: nullsFirst } of order) {
      const x = value(a, column);
      const y = value(b, column);
      if (x === null || y === null) {
        if (x === y) continue;
        return (x === null) === nullsFirst ? -1 : 1;
      }
      const result = compare(x, y, columns[column]?.type ?? "");
      if (result !== 0) return descending ? -result : result;
    }
    return 0;
  };
}

function compare(x, y, type) {
  if (isNumber(type) || typeof x === "number" || typeof y === "number") return compareNumbers(x, y);
  if (typeof x === "string" && typeof y === "string") {
    // Without its Z, an instant with a fraction is longer than the one it begins with.
    if (type.startsWith("timestamp")) [x, y] = [x.replace(/Z$/, ""), y.replace(/Z$/, "")];
    return byCodePoint(x, y);
  }
  if (typeof x === "boolean") return Number(x) - Number(y);
  return byCodePoint(JSON.stringify(x), JSON.stringify(y));
}

function compareNumbers(x, y) {
  const [a, b] = [Number(x), Number(y)];
  // NaN is the greatest number.
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  if (a !== b) return a < b ? -1 : 1;
  // Beyond a double's digits whole numbers are still told apart.
  const whole = /^-?\d+$/;
  if (whole.test(x) && whole.test(y) && BigInt(x) !== BigInt(y)) return BigInt(x) < BigInt(y) ? -1 : 1;
  return 0;
}

/** UTF-16 puts some letters elsewhere than the server's UTF-8; code points agree with it. */
function byCodePoint(x, y) {
  const [a, b] = [x[Symbol.iterator](), y[Symbol.iterator]()];
  for (;;) {
    const [p, q] = [a.next(), b.next()];
    if (p.done || q.done) return Number(q.done ?? false) - Number(p.done ?? false) || 0;
    const difference = p.value.codePointAt(0) - q.value.codePointAt(0);
    if (difference !== 0) return difference;
  }
}
