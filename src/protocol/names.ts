import { z } from "zod";

/**
 * What stands in no name: control characters (C0, DEL, C1), the separators of lines and paragraphs, and the controls of
 * writing direction, with which a name could break a line, steer a terminal, or be shown in another order than it is read.
 */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** Whether a text has none of them. */
export const hasNoControls = (text: string) => !CONTROL.test(text);
export const NO_CONTROLS = "must not contain control characters";

/** Characters that fonts draw nothing for: joiners, variation selectors, soft hyphens, fillers … */
const IGNORABLE = /\p{Default_Ignorable_Code_Point}/gu;

/**
 * Something to see: neither ignorable, nor a mark without its letter, nor a kind of space, nor one of the two symbols that
 * are blank. What is not assigned yet counts as visible: it may be this year's emoji.
 */
const VISIBLE = /[^\p{Default_Ignorable_Code_Point}\p{M}\p{Z}\p{Cc}\p{Cf}\p{Cs}\u2800\u{1d159}]/u;

/** A name: trimmed, on one line, with something to see in it. */
export const name = z
  .string()
  .transform((given) => given.trim())
  .pipe(
    z
      .string()
      .min(1, "must not be empty")
      .max(200, "must be at most 200 characters")
      .refine((given) => given.isWellFormed(), "must be well-formed text")
      .refine(hasNoControls, NO_CONTROLS)
      .refine((given) => VISIBLE.test(given), "must contain something visible"),
  );

/**
 * A name, or a part of one, as names are compared: without regard to case, to how accents are encoded, and to characters
 * that draw nothing. NFC and not NFKC: `x²` and `x2` are two names, and one can see it.
 */
export function foldName(name: string): string {
  // Normalised again, as folding takes a letter apart that only its capital has no code for: H̱ and ẖ are one.
  return name.replace(IGNORABLE, "").normalize("NFC").toLowerCase().normalize("NFC");
}

/** The key by which a name is found and is unique. */
export function nameKeyOf(name: string): string {
  return foldName(name).trim();
}

/** As names were folded before: agents that were named then keep that key until they are renamed. */
export function foldNameAsBefore(name: string): string {
  return name.normalize("NFC").toLowerCase();
}
