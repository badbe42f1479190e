import { shortened } from "../../protocol/content.ts";
import { showUnseen } from "../../unseen.ts";

/** Characters of a gateway's own words that are kept, unless it is said otherwise. */
const MOST_WORDS = 1_000;

/** What a gateway said, fit to be kept and shown to people: of bounded length, and with all that cannot be seen escaped. */
export function words(said: string, most = MOST_WORDS): string {
  return shortened(showUnseen(said.slice(0, most + 1)), most);
}
