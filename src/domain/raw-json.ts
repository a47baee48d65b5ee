/** JSON that stays text, for nobody on the main thread needs to know its value. */
export class RawJson {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** @param value one that JSON has, or the text of one */
export function textOfJson(value: unknown): string {
  return value instanceof RawJson ? value.text : JSON.stringify(value)
}
