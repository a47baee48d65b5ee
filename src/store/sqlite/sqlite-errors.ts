/** Classifies what SQLite throws, by its primary result code (https://sqlite.org/rescode.html). */

const busyCodes = new Set([5, 6]) // BUSY, LOCKED
// NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB
const unavailableCodes = new Set([7, 8, 10, 11, 13, 14, 26])

export function isBusy(error: unknown): boolean {
  return busyCodes.has(primaryCode(error))
}

/** Whether the file or the disk failed, and not the statement: then the whole group could not be committed. */
export function isUnavailable(error: unknown): boolean {
  return isBusy(error) || unavailableCodes.has(primaryCode(error))
}

function primaryCode(error: unknown): number {
  if (!(error instanceof Error) || !('errcode' in error)) return -1
  return Number(error.errcode) & 0xff
}
