import type { Queries } from "./database.ts";

/**
 * The sealed key by which a gateway knows this server. Where there is none yet, the one that is offered is kept; of two
 * at the same instant, one.
 */
export async function keepDeviceKey(
  database: Queries,
  gateway: { id: string; organizationId: string },
  offered: Uint8Array,
): Promise<Uint8Array> {
  await database`
    insert into gateway_links (gateway_id, organization_id, device_key_sealed)
    values (${gateway.id}, ${gateway.organizationId}, ${offered}) on conflict (gateway_id) do nothing`;
  const [row] = await database<{ device_key_sealed: Uint8Array }[]>`
    select device_key_sealed from gateway_links where gateway_id = ${gateway.id}`;
  if (!row) throw new Error("the gateway is not there any more");
  return row.device_key_sealed;
}

/** The gateway is to know this server by another key from now on: the next look for one makes it. */
export async function forgetDeviceKey(database: Queries, gatewayId: string): Promise<void> {
  await database`delete from gateway_links where gateway_id = ${gatewayId}`;
}

/** In the place of a key that cannot be opened any more. */
export async function replaceDeviceKey(
  database: Queries,
  gatewayId: string,
  sealed: Uint8Array,
): Promise<void> {
  await database`update gateway_links set device_key_sealed = ${sealed} where gateway_id = ${gatewayId}`;
}

/** The workspace files that this version of a gateway does not take, as far as that is known. */
export async function readUnsupportedFiles(
  database: Queries,
  gatewayId: string,
  version: string,
): Promise<string[]> {
  const [row] = await database<{ unsupported_files: string[] }[]>`
    select unsupported_files from gateway_links
    where gateway_id = ${gatewayId} and unsupported_version = ${version}`;
  return row?.unsupported_files ?? [];
}

/** One more of them. What was known of another version is forgotten. */
export async function rememberUnsupportedFile(
  database: Queries,
  gatewayId: string,
  version: string,
  name: string,
): Promise<void> {
  await database`
    update gateway_links set
      unsupported_files = case
        when unsupported_version is distinct from ${version} then array[${name}]
        when ${name} = any(unsupported_files) then unsupported_files
        else unsupported_files || ${name}::text end,
      unsupported_version = ${version}
    where gateway_id = ${gatewayId}`;
}
