/** @param text value of the option `--name` @throws Error unless it is a positive whole number */
export function wholeNumber(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--${name} must be a whole number from 1`)
  return Number(text)
}
