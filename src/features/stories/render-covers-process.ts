/**
 * Draws covers in a process of its own: the image library keeps some 120 MiB that a web process would hold for ever.
 * Takes one message with the drawings, answers one with the JPEGs, and ends.
 */
import sharp from 'sharp'

/** 1024 px JPEG of a drawn cover: sRGB, opaque, no metadata. */
const render = (svg: Uint8Array): Promise<Buffer> =>
  sharp(svg, { density: 96, limitInputPixels: 4_000_000 })
    .resize(1024, 1024, { fit: 'cover' })
    .flatten({ background: '#ffffff' })
    .jpeg({ quality: 85, mozjpeg: true })
    .toBuffer()

process.once('message', (drawings: Uint8Array[]) => {
  Promise.all(drawings.map(render)).then(
    (images) => process.send?.(images, () => process.disconnect?.()),
    () => process.exit(1),
  )
})
