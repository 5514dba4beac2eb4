// Formats: values of the API as strings.

export const NONE = '–';
const WHOLE = new Intl.NumberFormat('en-US', {maximumFractionDigits: 0});
const TENTHS = new Intl.NumberFormat('en-US', {minimumFractionDigits: 1, maximumFractionDigits: 1});
const CLOCK = new Intl.DateTimeFormat('en-GB', {hour: '2-digit', minute: '2-digit', second: '2-digit'});
const DATE = new Intl.DateTimeFormat('en-GB', {day: '2-digit', month: 'short'});

export const number = (value) => (value == null ? NONE : WHOLE.format(value));
export const noun = (count, singular) => (count === 1 ? singular : `${singular}s`);
export const plural = (count, singular) => `${number(count)} ${noun(count, singular)}`;
const small = (value) => (value !== 0 && Math.abs(value) < 10 ? TENTHS : WHOLE).format(value);

export function bytes(value) {
  if (value == null) {
    return NONE;
  }
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let unit = 0;
  let scaled = value;
  // 999.5 would be displayed as 1,000.
  for (; scaled >= 999.5 && unit < units.length - 1; unit++) {
    scaled /= 1000;
  }
  return `${unit === 0 ? WHOLE.format(scaled) : small(scaled)} ${units[unit]}`;
}

export const perSecond = (rate) => (rate == null ? NONE : `${small(rate)}/s`);
export const bytesPerSecond = (rate) => (rate == null ? NONE : `${bytes(rate)}/s`);
export const millis = (value) => (value == null ? NONE : `${small(value)} ms`);

export function duration(seconds) {
  if (seconds == null) {
    return NONE;
  }
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => whole >= size);
  if (first < 0) {
    return '0 s';
  }
  const [[size, unit], next] = parts.slice(first);
  const rest = next ? Math.floor((whole % size) / next[0]) : 0;
  return `${Math.floor(whole / size)} ${unit}${rest > 0 ? ` ${rest} ${next[1]}` : ''}`;
}

export const timeOfDay = (date) => CLOCK.format(date);

/** The time of day, and the date unless it is today. */
export function shortTime(date) {
  const today = new Date().toDateString() === date.toDateString();
  return today ? timeOfDay(date) : `${DATE.format(date)} ${timeOfDay(date)}`;
}
