/** Parses JSON that people type. Refuses text that JavaScript cannot represent exactly. Pure. */

import { RawJson } from '../../src/domain/json.ts'

export type TypedJson =
  | { readonly ok: true; readonly value: RawJson | undefined }
  | { readonly ok: false; readonly reason: string }

const tokens = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g
/** Whole numbers with fewer digits are always exact. */
const safeDigits = 16

/** @returns the value as a RawJson; undefined for an empty text */
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
