// The Fourier transform of a photo, its filter, and what is drawn of both. Numbers only, no drawing.
//
// A photo of three colours travels as two complex pictures, red + i·green and blue: the filter is the same at f and -f, so
// that it leaves each part real, and two transforms do the work of three.

// The prime factors of n, with pairs of 2 taken as 4.
export function factorsOf(n) {
  const factors = [];
  for (const p of [4, 2, 3]) while (n % p === 0) { factors.push(p); n /= p; }
  for (let p = 5; n > 1; p += 2) while (n % p === 0) { factors.push(p); n /= p; }
  return factors;
}

const turns = new Map(); // n -> cosines and sines of a whole turn in n steps

function turnOf(n) {
  if (!turns.has(n)) {
    const angle = (2 * Math.PI) / n;
    turns.set(n, [Float64Array.from({ length: n }, (_, i) => Math.cos(angle * i)), Float64Array.from({ length: n }, (_, i) => Math.sin(angle * i))]);
  }
  return turns.get(n);
}

// The transform down each of `width` columns of `n` numbers, Stockham's way: one pass a factor, no reordering.
// `sign` -1 forth, +1 back (without the division by n). Gives [re, im]; the arrays that came in are used up.
export function fftColumns(re, im, n, width, sign) {
  const [cosines, sines] = turnOf(n);
  let [from, to] = [[re, im], [new Float32Array(n * width), new Float32Array(n * width)]];
  let left = n;
  let stride = width;
  for (const p of factorsOf(n)) {
    const m = left / p;
    const butterfly = p === 4 ? byFour : p === 2 ? byTwo : oddButterfly(p, sign);
    for (let j = 0; j < m; j++) {
      const at = (r) => (j * r * (n / left)) % n; // output r is turned by jr / left
      const twiddles = Array.from({ length: p }, (_, r) => [cosines[at(r)], sign * sines[at(r)]]);
      butterfly(from, to, { x: stride * j, across: stride * m, out: stride * p * j, stride, twiddles, sign });
    }
    left = m;
    stride *= p;
    [from, to] = [to, from];
  }
  return from;
}

function byTwo([a, b], [c, d], { x, across, out, stride, twiddles: [, [wr, wi]] }) {
  for (let q = 0; q < stride; q++, x++, out++) {
    const y = x + across;
    const [re, im] = [a[x] - a[y], b[x] - b[y]];
    c[out] = a[x] + a[y];
    d[out] = b[x] + b[y];
    c[out + stride] = re * wr - im * wi;
    d[out + stride] = re * wi + im * wr;
  }
}

function byFour([a, b], [c, d], { x, across, out, stride, twiddles, sign }) {
  const [, [ur, ui], [vr, vi], [wr, wi]] = twiddles;
  const [one, two, three] = [stride, 2 * stride, 3 * stride];
  for (let q = 0; q < stride; q++, x++, out++) {
    const [y, z, t] = [x + across, x + 2 * across, x + 3 * across];
    const [evenR, evenI, oddR, oddI] = [a[x] + a[z], b[x] + b[z], a[y] + a[t], b[y] + b[t]];
    const [lineR, lineI] = [a[x] - a[z], b[x] - b[z]];
    const [crossR, crossI] = [-sign * (b[y] - b[t]), sign * (a[y] - a[t])]; // a quarter turn
    c[out] = evenR + oddR;
    d[out] = evenI + oddI;
    let [re, im] = [lineR + crossR, lineI + crossI];
    c[out + one] = re * ur - im * ui;
    d[out + one] = re * ui + im * ur;
    [re, im] = [evenR - oddR, evenI - oddI];
    c[out + two] = re * vr - im * vi;
    d[out + two] = re * vi + im * vr;
    [re, im] = [lineR - crossR, lineI - crossI];
    c[out + three] = re * wr - im * wi;
    d[out + three] = re * wi + im * wr;
  }
}

// An odd factor: inputs k and p - k meet outputs r and p - r with the same cosine and with opposite sines.
function oddButterfly(p, sign) {
  const half = (p - 1) / 2;
  const [cosines, sines] = turnOf(p);
  const [sumR, sumI, lessR, lessI] = Array.from({ length: 4 }, () => new Float64Array(half + 1));
  return ([a, b], [c, d], { x, across, out, stride, twiddles }) => {
    for (let q = 0; q < stride; q++, x++, out++) {
      let [allR, allI] = [a[x], b[x]];
      for (let k = 1; k <= half; k++) {
        const [y, z] = [x + k * across, x + (p - k) * across];
        sumR[k] = a[y] + a[z];
        sumI[k] = b[y] + b[z];
        lessR[k] = a[y] - a[z];
        lessI[k] = b[y] - b[z];
        allR += sumR[k];
        allI += sumI[k];
      }
      c[out] = allR;
      d[out] = allI;
      for (let r = 1; r <= half; r++) {
        let [levelR, levelI, tiltR, tiltI] = [a[x], b[x], 0, 0];
        for (let k = 1; k <= half; k++) {
          const angle = (r * k) % p;
          levelR += cosines[angle] * sumR[k];
          levelI += cosines[angle] * sumI[k];
          tiltR -= sign * sines[angle] * lessI[k];
          tiltI += sign * sines[angle] * lessR[k];
        }
        for (const [at, re, im] of [[r, levelR + tiltR, levelI + tiltI], [p - r, levelR - tiltR, levelI - tiltI]]) {
          const [wr, wi] = twiddles[at];
          c[out + at * stride] = re * wr - im * wi;
          d[out + at * stride] = re * wi + im * wr;
        }
      }
    }
  };
}

function turned(from, h, w) {
  const to = new Float32Array(h * w);
  for (let row = 0; row < h; row++) for (let column = 0, at = row * w; column < w; column++, at++) to[column * h + row] = from[at];
  return to;
}

// `h w` complex numbers -> their transform, as `w h`: columns first. Back from there with sign +1 and the sides exchanged.
export function fft2(re, im, [h, w], sign = -1) {
  const [a, b] = fftColumns(re, im, h, w, sign);
  return fftColumns(turned(a, h, w), turned(b, h, w), w, h, sign);
}

const signed = (k, n) => (2 * k < n ? k : k - n);

// RGBA pixels of a square -> its spectrum: { side, planes: red + i·green, blue; waves: |frequency| of each, in cycles per picture }
export function spectrumOf(pixels, side) {
  const count = side * side;
  const colour = (channel) => Float32Array.from({ length: count }, (_, i) => pixels[4 * i + channel]);
  const planes = [fft2(colour(0), colour(1), [side, side]), fft2(colour(2), new Float32Array(count), [side, side])];
  const waves = Float64Array.from({ length: count }, (_, i) => Math.hypot(signed(i % side, side), signed(Math.floor(i / side), side)));
  return { side, planes, waves };
}

// Which coefficients pass, 1 or 0: low < |frequency| <= high in cycles per picture, and the mean by its own switch.
// The small term keeps frequencies that are the cutoff up to rounding on the same side as in Python.
export function passesOf({ waves }, low, high, mean) {
  const passes = new Uint8Array(waves.length);
  for (let i = 0; i < waves.length; i++) passes[i] = waves[i] > low + 1e-6 && waves[i] <= high + 1e-6 ? 1 : 0;
  passes[0] = mean ? 1 : 0;
  return passes;
}

// What passes, as three colours one after the other (3 side side); `ground` is what stands for a lost mean.
export function filteredOf(spectrum, passes, ground) {
  const { side, planes } = spectrum;
  const count = side * side;
  const found = new Float32Array(3 * count);
  planes.forEach(([re, im], plane) => {
    const [a, b] = [new Float32Array(count), new Float32Array(count)];
    for (let i = 0; i < count; i++) if (passes[i]) [a[i], b[i]] = [re[i] / count, im[i] / count];
    fft2(a, b, [side, side], +1).slice(0, 2 - plane).forEach((values, part) => found.set(values, (2 * plane + part) * count));
  });
  if (!passes[0]) for (let i = 0; i < 3 * count; i++) found[i] += ground[Math.floor(i / count)];
  return found;
}

// |F|² of each colour, one after the other.
export function powersOf({ side, planes: [[ar, ai], [br, bi]] }) {
  const count = side * side;
  const powers = new Float64Array(3 * count);
  const minus = (k) => (side - k) % side;
  for (let i = 0; i < count; i++) {
    const mirror = minus(Math.floor(i / side)) * side + minus(i % side);
    powers[i] = ((ar[i] + ar[mirror]) ** 2 + (ai[i] - ai[mirror]) ** 2) / 4;
    powers[count + i] = ((ai[i] + ai[mirror]) ** 2 + (ar[mirror] - ar[i]) ** 2) / 4;
    powers[2 * count + i] = br[i] ** 2 + bi[i] ** 2;
  }
  return powers;
}

// The variance that each coefficient holds, all colours together; `spread` is what the model divides each of them by. The mean holds none.
export function variancesOf(powers, spread) {
  const count = powers.length / 3;
  const variances = new Float32Array(count);
  for (let i = 1; i < count; i++)
    for (let colour = 0; colour < 3; colour++) variances[i] += powers[colour * count + i] / spread[colour] ** 2;
  return variances;
}

// The share of the variance that passes, 0..1.
export function keptOf(variances, passes) {
  let [all, through] = [0, 0];
  for (let i = 1; i < variances.length; i++) {
    all += variances[i];
    if (passes[i]) through += variances[i];
  }
  return all > 0 ? through / all : 0;
}

// log₁₀ of the amplitude of each wave, as a share of full white, mean power of the colours; the mean stands in the middle.
export function levelsOf(powers, side) {
  const count = side * side;
  const levels = new Float32Array(count);
  const half = Math.floor(side / 2);
  for (let i = 0; i < count; i++) {
    const amplitude = Math.sqrt((powers[i] + powers[count + i] + powers[2 * count + i]) / 3) / count / 255;
    const [column, row] = [Math.floor(i / side), i % side]; // the spectrum is turned: columns first
    levels[((row + half) % side) * side + ((column + half) % side)] = Math.log10(amplitude + 1e-12);
  }
  return levels;
}

// Three colours one after the other -> RGBA. With `stretch` the contrast is raised until the strongest 1 % are clipped.
export function pixelsOf(colours, side, stretch = false) {
  const count = side * side;
  const pixels = new Uint8ClampedArray(4 * count).fill(255);
  let [centre, gain] = [0, 1];
  if (stretch) {
    centre = colours.reduce((sum, value) => sum + value, 0) / colours.length;
    const away = Float64Array.from(colours, (value) => Math.abs(value - centre)).sort();
    gain = 127 / Math.max(1e-6, away[Math.floor(0.99 * (away.length - 1))]);
  }
  for (let i = 0; i < count; i++)
    for (let colour = 0; colour < 3; colour++) {
      const value = colours[colour * count + i];
      pixels[4 * i + colour] = stretch ? 127.5 + gain * (value - centre) : value;
    }
  return pixels;
}
