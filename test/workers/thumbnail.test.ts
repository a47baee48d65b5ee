/** thumbnail: sizes, orientation and format of the copy, and what is refused before it is decoded. */
import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import thumbnail from '../../workers/thumbnail.ts'
import { perform, refused } from './perform.ts'

const thumbnailShape = z.strictObject({
  image: z.base64(),
  format: z.enum(['png', 'jpeg']),
  widthPx: z.int(),
  heightPx: z.int(),
})

async function shrink(image: Buffer, size: { widthPx: number; heightPx?: number }) {
  const result = thumbnailShape.parse(await perform(thumbnail, { image: image.toString('base64'), ...size }))
  const copy = Buffer.from(result.image, 'base64')
  const metadata = await sharp(copy).metadata()
  assert.equal([metadata.format, metadata.width, metadata.height], [result.format, result.widthPx, result.heightPx])
  return { ...result, copy, metadata }
}

const blank = (width: number, background: string) => ({
  create: { width, height: 200, channels: 3 as const, background },
})

/** 400 × 200 pixels: the left half red, the right half blue. */
const redAndBlue = () => sharp(blank(400, 'blue')).composite([{ input: blank(200, 'red'), left: 0, top: 0 }])

async function isRed(image: Buffer, left: number, top: number): Promise<boolean> {
  const pixel = await sharp(image).extract({ left, top, width: 1, height: 1 }).removeAlpha().raw().toBuffer()
  return (pixel[0] ?? 0) > 200 && (pixel[2] ?? 0) < 60
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data])
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  checksum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, checksum])
}

/** A greyscale PNG of one bit a pixel, made by hand so that its header can claim any size. */
function png(
  width: number,
  height: number,
  pixels: Buffer,
  { isInterlaced = false, others = new Array<Buffer>() } = {},
): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = 1
  header[12] = Number(isInterlaced)
  const chunks = [
    pngChunk('IHDR', header),
    ...others,
    pngChunk('IDAT', deflateSync(pixels)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), ...chunks])
}

for (const format of ['png', 'jpeg'] as const) {
  test(`keeps format and proportions of a ${format}`, async () => {
    const image = await redAndBlue().toFormat(format).toBuffer()
    const copy = await shrink(image, { widthPx: 100 })
    assert.equal([copy.format, copy.widthPx, copy.heightPx], [format, 100, 50])
    assert.ok(await isRed(copy.copy, 10, 25))
    assert.not(await isRed(copy.copy, 90, 25))
  })

  test(`turns a ${format} upright as its EXIF orientation says, and drops its metadata`, async () => {
    // Orientation 6: to be shown turned clockwise by a quarter, so the left half comes to the top.
    const image = await redAndBlue().toFormat(format).withMetadata({ orientation: 6 }).toBuffer()
    const { copy, metadata, widthPx, heightPx } = await shrink(image, { widthPx: 100 })
    assert.equal([widthPx, heightPx], [100, 200])
    assert.ok(await isRed(copy, 50, 20))
    assert.not(await isRed(copy, 50, 180))
    assert.equal([metadata.orientation, metadata.exif], [undefined, undefined])
  })

  test(`refuses a broken ${format}`, async () => {
    const image = await redAndBlue().toFormat(format).toBuffer()
    const broken = [image.subarray(0, image.length / 2), image.subarray(0, 12)]
    await Promise.all(broken.map((bytes) => refused(shrink(bytes, { widthPx: 100 }), 'invalid-image')))
  })
}

test('fits inside the height too', async () => {
  const image = await redAndBlue().png().toBuffer()
  const { widthPx, heightPx } = await shrink(image, { widthPx: 300, heightPx: 20 })
  assert.equal([widthPx, heightPx], [40, 20])
})

test('never enlarges', async () => {
  const image = await redAndBlue().jpeg().toBuffer()
  const { widthPx, heightPx } = await shrink(image, { widthPx: 4096, heightPx: 4096 })
  assert.equal([widthPx, heightPx], [400, 200])
})

test('keeps transparency and a palette', async () => {
  const clear = { r: 0, g: 0, b: 0, alpha: 0 }
  const image = await sharp({ create: { width: 64, height: 64, channels: 4, background: clear } })
    .png({ palette: true })
    .toBuffer()
  const { metadata } = await shrink(image, { widthPx: 32 })
  assert.equal([metadata.hasAlpha, metadata.isPalette], [true, true])
})

test('refuses other formats, even those that sharp could decode', async () => {
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
  const others = [await redAndBlue().webp().toBuffer(), await redAndBlue().gif().toBuffer(), svg, Buffer.alloc(0)]
  await Promise.all(others.map((image) => refused(shrink(image, { widthPx: 9 }), 'unsupported-image')))
})

test('refuses a small file that claims many pixels', async () => {
  const message = await refused(shrink(png(60_000, 60_000, Buffer.alloc(8)), { widthPx: 100 }), 'image-too-large')
  assert.match(message, '60000 × 60000')
})

/** Rows of a filter byte and the pixels of one bit, all zero. */
const zeros = (width: number, height: number) => Buffer.alloc(height * (1 + Math.ceil(width / 8)))

test('refuses a small file of few columns or rows, whose decoding no timeout could stop', async () => {
  const thin = png(1, 5_000_000, zeros(1, 5_000_000))
  const startedAt = performance.now()
  await refused(shrink(thin, { widthPx: 100 }), 'image-too-large')
  assert.ok(performance.now() - startedAt < 1_000)
  const images = [png(16_385, 1, zeros(16_385, 1)), png(1, 16_385, zeros(1, 16_385))]
  await Promise.all(images.map((image) => refused(shrink(image, { widthPx: 100 }), 'image-too-large')))
  assert.is((await shrink(png(1, 16_384, zeros(1, 16_384)), { widthPx: 100, heightPx: 100 })).heightPx, 100)
  const pano = await sharp({ create: { width: 16_384, height: 8, channels: 3, background: 'red' } })
    .jpeg()
    .toBuffer()
  assert.equal((await shrink(pano, { widthPx: 4096 })).heightPx, 2)
})

test('has a lower bound for an image that has to be held in memory whole', async () => {
  const [width, height] = [6_000, 5_000]
  const interlaced = png(width, height, Buffer.alloc(8), { isInterlaced: true })
  const blankPicture = sharp({ create: { width, height, channels: 3, background: 'red' } })
  const progressive = await blankPicture.jpeg({ progressive: true, quality: 10 }).toBuffer()
  for (const image of [interlaced, progressive]) {
    assert.match(await refused(shrink(image, { widthPx: 100 }), 'image-too-large'), '25000000')
  }
  assert.is((await shrink(png(width, height, zeros(width, height)), { widthPx: 60 })).heightPx, 50)
  for (const format of ['png', 'jpeg'] as const) {
    const small = await redAndBlue().toFormat(format, { progressive: true }).toBuffer()
    assert.equal((await shrink(small, { widthPx: 100 })).heightPx, 50)
  }
})

test('reads no more of a bomb in a chunk than its format needs', async () => {
  const zipped = Buffer.concat([Buffer.from('x\0\0'), deflateSync(Buffer.alloc(200_000_000))])
  for (const type of ['zTXt', 'iCCP']) {
    const image = png(8, 8, zeros(8, 8), { others: [pngChunk(type, zipped)] })
    assert.is((await shrink(image, { widthPx: 4 })).widthPx, 4)
  }
})

test('takes the first picture of an animated PNG, and 16 bits a colour', async () => {
  const control = Buffer.from('0000000200000000', 'hex')
  const frame = Buffer.from('00000000000000080000000800000000000000000001000a0000', 'hex')
  const others = [pngChunk('acTL', control), pngChunk('fcTL', frame)]
  assert.is((await shrink(png(8, 8, zeros(8, 8), { others }), { widthPx: 4 })).heightPx, 4)
  const deep = await redAndBlue().toColourspace('rgb16').png().toBuffer()
  assert.is((await sharp(deep).metadata()).depth, 'ushort')
  const { copy, heightPx } = await shrink(deep, { widthPx: 100 })
  assert.is(heightPx, 50)
  assert.ok(await isRed(copy, 10, 25))
})

test('refuses a copy that does not fit into a result', async () => {
  // Noise by a fixed rule: rows of one filter byte (0, none) and 250 bytes of pixels.
  let state = 1
  const noise = Array.from({ length: 2_000 * 251 }, (_, index) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return index % 251 === 0 ? 0 : state >>> 24
  })
  await refused(shrink(png(2_000, 2_000, Buffer.from(noise)), { widthPx: 1_900 }), 'thumbnail-too-large')
})

test('has bounds on its input', () => {
  const { input } = thumbnail
  const wrong = [{ widthPx: 0 }, { widthPx: 4097 }, { widthPx: 1, heightPx: 0 }, { widthPx: 1, fit: 'cover' }, {}]
  for (const members of wrong) assert.not(input?.safeParse({ image: 'AAAA', ...members }).success)
  const images = ['data:image/png;base64,AAAA', 'A', 'AA', 'AA-_', 'AA AA', 'AAAA\n', 'A'.repeat(1_398_108)]
  for (const image of images) assert.not(input?.safeParse({ image, widthPx: 1 }).success)
})

test.run()
