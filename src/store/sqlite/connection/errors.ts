/** Classifies what SQLite throws, by its primary result code (https://sqlite.org/rescode.html). */

const busyCodes = new Set([5, 6]) // BUSY, LOCKED
// NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB
const unavailableCodes = new Set([7, 8, 10, 11, 13, 14, 26])

export function isBusy(error: unknown): boolean {
  return busyCodes.has(primaryCode(error))
}

/** Whether the file or the disk failed, and not the statement: then the whole group is rolled back. */
export function isUnavailable(error: unknown): boolean {
  return isBusy(error) || unavailableCodes.has(primaryCode(error))
}

/** Advice for a file that cannot be opened; empty if none is known. */
export function remedyOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  switch (primaryCode(error)) {
    case 13: // FULL
      return ': make room on the disk'
    case 10: // IOERR
      return ': the disk fails, is full, or is limited for this process'
    case 8: // READONLY
    case 14: // CANTOPEN
      return ': this process must be able to write the file and its directory'
    case 11: // CORRUPT
    case 26: // NOTADB
      return ': restore a backup, or move the file away'
    default:
      return code === 'ENOSPC' || code === 'EDQUOT' ? ': make room on the disk' : ''
  }
}

function primaryCode(error: unknown): number {
  if (!(error instanceof Error) || !('errcode' in error)) return -1
  return Number(error.errcode) & 0xff
}
