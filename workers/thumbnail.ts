/**
 * Makes a smaller copy of a PNG or JPEG image that fits inside a box. Only these two decoders ever see the bytes. Sides,
 * pixels and time are bounded before they decode, so a small file cannot unfold into much memory or work: the task's
 * timeout does not stop native code.
 */
import { defineTask } from 'forerunner'
import sharp from 'sharp'
import { z } from 'zod'
import { refusal } from './lib/refusal.ts'

const maxImageBytes = 1_048_576
/** An image one pixel wide takes longer per megapixel than a square one takes for 50. */
const maxSidePx = 16_384
const maxPixels = 50_000_000
/** An interlaced or progressive image is held in memory whole, with up to eight bytes per pixel. */
const maxProgressivePixels = 25_000_000
/** Shorter than the task's timeout, which cannot stop native code. */
const maxDecodeSeconds = 20
/** A task's result may have 1 MiB; the rest is reserved for the other members. */
const maxResultCharacters = 1_048_000

/** The format by its signature, not by trying decoders: unwanted ones (SVG, TIFF, …) must not run at all. */
function formatOf(image: Buffer): 'png' | 'jpeg' {
  const signature = image.subarray(0, 8).toString('hex')
  if (signature === '89504e470d0a1a0a') return 'png'
  if (signature.startsWith('ffd8ff')) return 'jpeg'
  throw refusal('unsupported-image', 'The image is neither PNG nor JPEG.')
}

/** Reads only the header, and refuses an image that is too large. */
async function inspect(image: Buffer) {
  // Its pixels are counted here, to distinguish a large image from a broken one.
  const header = await sharp(image, { limitInputPixels: false }).metadata().catch(refuseBroken)
  const { width, height, isProgressive } = header
  const allowed = isProgressive ? maxProgressivePixels : maxPixels
  if (Math.max(width, height) > maxSidePx || width * height > allowed) {
    const limits = `at most ${maxSidePx} a side and ${allowed} in all are decoded`
    throw refusal('image-too-large', `The image has ${width} × ${height} pixels; ${limits}.`)
  }
  return header
}

function refuseBroken(error: unknown): never {
  throw refusal('invalid-image', 'The image cannot be decoded.', error)
}

/**
 * Returns `{ image, format, widthPx, heightPx }`: the copy in base64, in the format that came in, and its size. It
 * keeps the proportions, is never larger than the original, is turned upright as its EXIF orientation says, and
 * carries no metadata.
 *
 * Throws, each with status 422: `unsupported-image` (neither PNG nor JPEG), `image-too-large` (above 16,384 pixels a
 * side or 50 megapixels, 25 where it is interlaced or progressive), `invalid-image` (broken, or not decoded in 20 s),
 * `thumbnail-too-large` (the copy does not fit into a result of 1 MiB).
 */
export default defineTask({
  input: z.strictObject({
    image: z
      .base64()
      .max(Math.ceil(maxImageBytes / 3) * 4)
      .describe('PNG or JPEG file in base64, at most 1 MiB before encoding'),
    widthPx: z.int().min(1).max(4096).describe('Largest width, in pixels'),
    heightPx: z.int().min(1).max(4096).optional().describe('Largest height, in pixels; no limit when absent'),
  }),
  timeoutMs: 30_000,
  async run(input) {
    const original = Buffer.from(input.image, 'base64')
    const format = formatOf(original)
    const { isPalette } = await inspect(original)
    // Cameras often deviate slightly from the standard, so only errors count, not warnings.
    const copy = sharp(original, { autoOrient: true, limitInputPixels: maxPixels, failOn: 'error' })
      .resize({ width: input.widthPx, height: input.heightPx, fit: 'inside', withoutEnlargement: true })
      // In full colour the copy of a palette image can be many times larger than the original.
      .toFormat(format, format === 'png' ? { palette: isPalette } : {})
      .timeout({ seconds: maxDecodeSeconds })
    const { data, info } = await copy.toBuffer({ resolveWithObject: true }).catch(refuseBroken)
    const image = data.toString('base64')
    if (image.length > maxResultCharacters) {
      throw refusal('thumbnail-too-large', `The thumbnail takes ${data.length} bytes: ask for a smaller one.`)
    }
    return { image, format, widthPx: info.width, heightPx: info.height }
  },
})
