/** JSON that people type: taken only where its value has everything that its text says. Pure. */

import { RawJson } from '../../src/domain/json.ts'

export type TypedJson =
  | { readonly ok: true; readonly value: RawJson | undefined }
  | { readonly ok: false; readonly reason: string }

const tokens = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g
/** Whole numbers of fewer digits are kept as they are. */
const safeDigits = 16

/** @returns a RawJson as the value; undefined of an empty text */
export function parseTyped(text: string): TypedJson {
  if (text.trim() === '') return { ok: true, value: undefined }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { ok: false, reason: 'This is not JSON.' }
  }
  const lost = [...text.matchAll(tokens)].map(([token]) => token).find(losesDigits)
  if (lost === undefined) return { ok: true, value: new RawJson(text.trim(), value) }
  return { ok: false, reason: `${lost} has more digits than a number keeps: write it as a text, "${lost}".` }
}

function losesDigits(token: string): boolean {
  return /^-?\d+$/.test(token) && token.length >= safeDigits && BigInt(token) !== BigInt(Number(token))
}
