/* The arithmetic of "Draw a digit": a drawing becomes 28×28 pixels, and every method reads them.
   Nothing here touches the page; book/weights.py packs the weights and says what each layer is. */
"use strict";

const DrawNet = (() => {
  const SIDE = 28, BOX = 20;

  // ---- weights ----

  function bytesOf(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes.buffer;
  }

  // a matrix is a byte a number, with a scale for each row; all else is float32
  function tensor(buffer, { shape, at, scale }) {
    const n = shape.reduce((a, b) => a * b, 1);
    if (scale === undefined) return new Float32Array(buffer, at, n);
    const packed = new Int8Array(buffer, at, n), scales = new Float32Array(buffer, scale, shape[0]);
    const numbers = new Float32Array(n), row = n / shape[0];
    for (let i = 0; i < n; i++) numbers[i] = packed[i] * scales[Math.floor(i / row)];
    return numbers;
  }

  function unpack(weights) {
    const buffer = bytesOf(weights.data);
    return weights.methods.map(method => ({ ...method, layers: method.layers.map(layer => {
      const whole = { ...layer };
      for (const [key, value] of Object.entries(layer)) {
        if (value && value.shape) { whole[key] = tensor(buffer, value); whole[key + "Shape"] = value.shape; }
      }
      return whole;
    }) }));
  }

  // ---- layers; x is {c, h, w, data}, maps one after the other ----

  const maps = (c, h, w) => ({ c, h, w, data: new Float64Array(c * h * w) });

  function eachOf(x, change) { // change(number, map)
    const y = maps(x.c, x.h, x.w), size = x.h * x.w;
    for (let i = 0; i < y.data.length; i++) y.data[i] = change(x.data[i], Math.floor(i / size));
    return y;
  }

  const KINDS = {
    nearest(x, { means, norm }) {
      const y = maps(10, 1, 1), n = x.data.length;
      for (let d = 0; d < 10; d++) {
        let sum = 0;
        for (let i = 0; i < n; i++) {
          const gap = x.data[i] - means[d * n + i];
          sum += norm === "l1" ? Math.abs(gap) : gap * gap;
        }
        y.data[d] = norm === "l1" ? sum / n : Math.sqrt(sum / n);
      }
      return y;
    },
    normalise: (x, { mean, std }) => eachOf(x, v => (v - mean) / std),
    relu: x => eachOf(x, v => Math.max(v, 0)),
    affine: (x, { scale, shift }) => eachOf(x, (v, c) => v * scale[c] + shift[c]),
    dense(x, { w, b }) {
      const y = maps(b.length, 1, 1), n = x.data.length;
      for (let k = 0; k < b.length; k++) {
        let sum = b[k];
        for (let i = 0; i < n; i++) sum += x.data[i] * w[k * n + i];
        y.data[k] = sum;
      }
      return y;
    },
    conv(x, { w, b, wShape, stride, padding }) {
      const k = wShape[2], out = n => Math.floor((n + 2 * padding - k) / stride) + 1;
      const y = maps(b.length, out(x.h), out(x.w));
      for (let o = 0; o < y.c; o++) for (let r = 0; r < y.h; r++) for (let s = 0; s < y.w; s++) {
        let sum = b[o];
        for (let c = 0; c < x.c; c++) for (let u = 0; u < k; u++) {
          const row = r * stride + u - padding;
          if (row < 0 || row >= x.h) continue;
          for (let v = 0; v < k; v++) {
            const column = s * stride + v - padding;
            if (column < 0 || column >= x.w) continue;
            sum += x.data[(c * x.h + row) * x.w + column] * w[((o * x.c + c) * k + u) * k + v];
          }
        }
        y.data[(o * y.h + r) * y.w + s] = sum;
      }
      return y;
    },
    pool(x, { size }) {
      const y = maps(x.c, Math.floor(x.h / size), Math.floor(x.w / size));
      for (let c = 0; c < y.c; c++) for (let r = 0; r < y.h; r++) for (let s = 0; s < y.w; s++) {
        let most = -Infinity;
        for (let u = 0; u < size; u++) for (let v = 0; v < size; v++) {
          most = Math.max(most, x.data[(c * x.h + r * size + u) * x.w + s * size + v]);
        }
        y.data[(c * y.h + r) * y.w + s] = most;
      }
      return y;
    },
  };

  function softmax(scores) {
    const most = Math.max(...scores), powers = Array.from(scores, z => Math.exp(z - most));
    const total = powers.reduce((a, b) => a + b, 0);
    return powers.map(p => p / total);
  }

  // every layer's output, the scores (for a nearest mean its distances) and their shares
  function ask(method, pixels) { // 784 numbers from 0 (paper) to 1 (ink)
    let x = { c: 1, h: SIDE, w: SIDE, data: Float64Array.from(pixels) };
    const outputs = method.layers.map(layer => (x = KINDS[layer.kind](x, layer)));
    const scores = Array.from(x.data), last = method.layers.at(-1);
    const logits = last.kind !== "nearest" ? scores : scores.map(distance => {
      const ratio = distance / Math.max(last.scale, 1 / 510);
      return -pixels.length * (last.norm === "l1" ? ratio : ratio * ratio / 2);
    });
    const probabilities = softmax(logits);
    return { outputs, scores, probabilities, digit: logits.indexOf(Math.max(...logits)) };
  }

  // ---- backwards: from the gradient by a layer's output y, g, to that by its input x ----

  const like = (x, change) => ({ ...x, data: x.data.map(change) });

  const BACK = {
    nearest: (g, x, y, { means, norm }) => like(x, (v, i) => {
      const n = x.data.length;
      let sum = 0;
      for (let d = 0; d < 10; d++) {
        const gap = v - means[d * n + i];
        sum += g.data[d] * (norm === "l1" ? Math.sign(gap) : gap / y.data[d]) / n;
      }
      return sum;
    }),
    normalise: (g, x, y, { std }) => like(g, v => v / std),
    relu: (g, x, y) => like(g, (v, i) => y.data[i] > 0 ? v : 0),
    affine: (g, x, y, { scale }) => like(g, (v, i) => v * scale[Math.floor(i / (x.h * x.w))]),
    dense: (g, x, y, { w }) => like(x, (_, i) => g.data.reduce((sum, v, k) => sum + v * w[k * x.data.length + i], 0)),
    conv(g, x, y, { w, wShape, stride, padding }) {
      const k = wShape[2], dx = maps(x.c, x.h, x.w);
      for (let o = 0; o < y.c; o++) for (let r = 0; r < y.h; r++) for (let s = 0; s < y.w; s++) {
        const share = g.data[(o * y.h + r) * y.w + s];
        if (!share) continue;
        for (let c = 0; c < x.c; c++) for (let u = 0; u < k; u++) for (let v = 0; v < k; v++) {
          const row = r * stride + u - padding, column = s * stride + v - padding;
          if (row < 0 || row >= x.h || column < 0 || column >= x.w) continue;
          dx.data[(c * x.h + row) * x.w + column] += share * w[((o * x.c + c) * k + u) * k + v];
        }
      }
      return dx;
    },
    pool(g, x, y, { size }) { // to the first of the largest
      const dx = maps(x.c, x.h, x.w);
      for (let c = 0; c < y.c; c++) for (let r = 0; r < y.h; r++) for (let s = 0; s < y.w; s++) {
        const at = (c * y.h + r) * y.w + s;
        search: for (let u = 0; u < size; u++) for (let v = 0; v < size; v++) {
          const from = (c * x.h + r * size + u) * x.w + s * size + v;
          if (x.data[from] === y.data[at]) { dx.data[from] = g.data[at]; break search; }
        }
      }
      return dx;
    },
  };

  // how the logarithm of a digit's share changes with each of the pixels
  function gradient(method, pixels, digit) {
    const { outputs, scores, probabilities } = ask(method, pixels), last = method.layers.at(-1);
    const byScore = probabilities.map((p, d) => {
      const byLogit = (d === digit ? 1 : 0) - p;
      if (last.kind !== "nearest") return byLogit;
      const scale = Math.max(last.scale, 1 / 510), n = pixels.length;
      return -byLogit * n * (last.norm === "l1" ? 1 / scale : scores[d] / scale ** 2);
    });
    let g = { c: 10, h: 1, w: 1, data: Float64Array.from(byScore) };
    for (let i = method.layers.length - 1; i >= 0; i--) {
      const x = i ? outputs[i - 1] : { c: 1, h: SIDE, w: SIDE, data: Float64Array.from(pixels) };
      g = BACK[method.layers[i].kind](g, x, outputs[i], method.layers[i]);
    }
    return g.data;
  }

  // ---- from a drawing to 28×28 pixels; ink is {w, h, data}, numbers from 0 to 1 ----

  function bounds({ w, h, data }) { // of what is not paper; null if all is
    let left = w, top = h, right = -1, bottom = -1;
    for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) if (data[y * w + x] > .05) {
      left = Math.min(left, x); right = Math.max(right, x);
      top = Math.min(top, y); bottom = Math.max(bottom, y);
    }
    return right < 0 ? null : { left, top, w: right - left + 1, h: bottom - top + 1 };
  }

  // how much of source number i lies under each of n target numbers: [[first, share, share…], …]
  function shares(from, length, n) {
    return Array.from({ length: n }, (_, k) => {
      const a = from + k * length / n, b = from + (k + 1) * length / n, first = Math.floor(a);
      const found = [];
      for (let i = first; i < b; i++) found.push(Math.max(0, Math.min(b, i + 1) - Math.max(a, i)));
      return { first, found: found.map(share => share / (b - a)) };
    });
  }

  function shrink(ink, box, w, h) { // the mean over the area of each new pixel: anti-aliased
    const across = shares(box.left, box.w, w), down = shares(box.top, box.h, h);
    const small = new Float64Array(w * h);
    down.forEach((rows, y) => across.forEach((columns, x) => {
      let sum = 0;
      rows.found.forEach((p, i) => columns.found.forEach((q, j) => {
        const row = rows.first + i, column = columns.first + j;
        if (row < ink.h && column < ink.w) sum += p * q * ink.data[row * ink.w + column];
      }));
      small[y * w + x] = sum;
    }));
    return small;
  }

  // the drawing as it lies on its sheet
  function raw(ink) { return shrink(ink, { left: 0, top: 0, w: ink.w, h: ink.h }, SIDE, SIDE); }

  // as MNIST's makers did: into 20×20, keeping proportions; then its centre of mass to the middle
  function centred(ink) {
    const pixels = new Float64Array(SIDE * SIDE), box = bounds(ink);
    if (!box) return pixels;
    const factor = BOX / Math.max(box.w, box.h);
    const w = Math.max(1, Math.round(box.w * factor)), h = Math.max(1, Math.round(box.h * factor));
    const small = shrink(ink, box, w, h);
    let mass = 0, mx = 0, my = 0;
    small.forEach((v, i) => { mass += v; mx += v * (i % w + .5); my += v * (Math.floor(i / w) + .5); });
    const fit = (n, most) => Math.min(Math.max(n, 0), most);
    const left = fit(Math.round(SIDE / 2 - mx / mass), SIDE - w);
    const top = fit(Math.round(SIDE / 2 - my / mass), SIDE - h);
    small.forEach((v, i) => { pixels[(top + Math.floor(i / w)) * SIDE + left + i % w] = v; });
    return pixels;
  }

  return { SIDE, BOX, unpack, ask, gradient, softmax, bounds, raw, centred };
})();
