/**
 * Price of a narration in points: `max(1, ceil(code points / unitSize))`. Counts Unicode code points, never UTF-16
 * units; nothing is trimmed or normalised. `unitSize` is an integer ≥ 1.
 */
export const priceOf = (text: string, unitSize: number): number => {
  let codePoints = text.length
  // A low surrogate that follows a high one belongs to the code point before it.
  for (let index = 1; index < text.length; index += 1)
    if ((text.charCodeAt(index) & 0xfc00) === 0xdc00 && (text.charCodeAt(index - 1) & 0xfc00) === 0xd800)
      codePoints -= 1
  return Math.max(1, Math.ceil(codePoints / unitSize))
}
