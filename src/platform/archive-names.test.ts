import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNameFile } from './archive-names.ts'

const cases: [title: string, path: string][] = [
  ['Światełko Hani', 'bajki/Światełko Hani.mp3'],
  ['Kto? "Ja": <mama>|tata/*\\', 'bajki/Kto Ja mama tata.mp3'],
  ['../../etc/passwd', 'bajki/etc passwd.mp3'],
  ['.ukryta', 'bajki/ukryta.mp3'],
  ['Koniec. . .', 'bajki/Koniec.mp3'],
  ['con', 'bajki/_con.mp3'],
  ['Lpt1.Bajka', 'bajki/_Lpt1.Bajka.mp3'],
  ['COM¹', 'bajki/_COM¹.mp3'],
  ['Konrad', 'bajki/Konrad.mp3'],
  ['a\u0000b\u202Ec\r\nd', 'bajki/a b c d.mp3'],
  ['  ', 'bajki/bez nazwy.mp3'],
  ['...', 'bajki/bez nazwy.mp3'],
  ['Lis 🦊', 'bajki/Lis 🦊.mp3'],
  ['z\u0307'.repeat(90), `bajki/${'ż'.repeat(80)}.mp3`],
]

for (const [title, path] of cases)
  test(`${JSON.stringify(title.slice(0, 30))} becomes ${path.slice(0, 40)}`, () =>
    assert.equal(createNameFile()('bajki', title, 'mp3'), path))

test('a name is given once, whatever its case', () => {
  const name = createNameFile()
  assert.deepEqual(
    [name('a', 'Lis', 'mp3'), name('a', 'LIS', 'mp3'), name('a', 'Lis (2)', 'mp3'), name('b', 'Lis', 'mp3')],
    ['a/Lis.mp3', 'a/LIS (2).mp3', 'a/Lis (2) (2).mp3', 'b/Lis.mp3'],
  )
})
