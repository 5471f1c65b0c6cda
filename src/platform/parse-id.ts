/** A path id: positive 32-bit decimal without sign or leading zero, else null. */
export const parseId = (text: string): number | null => {
  if (!/^[1-9]\d{0,9}$/.test(text)) return null
  const id = Number(text)
  return id <= 2_147_483_647 ? id : null
}
