import { readFile } from 'node:fs/promises'
import sharp from 'sharp'

// Renders static/icons/logo.png (256 × 256, transparent) from logo.svg; run after changing the drawing.
const folder = new URL('../src/platform/http/static/icons/', import.meta.url)
const drawing = await readFile(new URL('logo.svg', folder))
const target = new URL('logo.png', folder)
const { size } = await sharp(drawing, { density: 288 })
  .resize(256, 256)
  .png({ compressionLevel: 9, effort: 10 })
  .toFile(target.pathname)
console.log(`logo.png: ${size} bytes`)
