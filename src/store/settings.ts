import { randomBytes } from "node:crypto";
import { SALT_BYTES } from "../auth/keys.ts";
import type { Json } from "../protocol/fields.ts";
import type { Queries } from "./database.ts";

/** The salt of this database, made at the first start; of two servers at the same instant, both get the same. */
export async function readSalt(database: Queries): Promise<Uint8Array> {
  const fresh = randomBytes(SALT_BYTES).toString("base64");
  await database`
    insert into settings (name, value) values ('salt', ${database.json(fresh)}) on conflict (name) do nothing`;
  const salt = await readSetting(database, "salt");
  if (typeof salt !== "string") throw new Error("the setting salt in the database is not what was written");
  return Buffer.from(salt, "base64");
}

/** Undefined when it was never written. */
export async function readSetting(database: Queries, name: string): Promise<Json | undefined> {
  const [row] = await database<{ value: Json }[]>`select value from settings where name = ${name}`;
  return row?.value;
}

export async function writeSetting(database: Queries, name: string, value: string): Promise<void> {
  await database`
    insert into settings (name, value) values (${name}, ${database.json(value)})
    on conflict (name) do update set value = excluded.value`;
}
