import type { SealedPlace } from "../auth/seal.ts";
import {
  agentTokenPlace,
  deviceKeyPlace,
  gatewayTokenPlace,
  keptAnswerPlace,
} from "../auth/sealed-places.ts";
import type { Queries } from "./database.ts";
import type { RequestKey } from "./idempotency.ts";

/** A row that has a sealed value. */
export interface SealedRow {
  place: SealedPlace;
  sealed: Uint8Array;
  /** Whose it is, for people; undefined where nobody would know it by a name. */
  name: string | undefined;
}

/** A column of sealed values. */
export interface SealedColumn {
  /** What it holds, for people. */
  what: string;
  /** The next rows in the order of their keys. */
  read(database: Queries, after: SealedRow | undefined, limit: number): Promise<SealedRow[]>;
  /** Puts another value in, unless it has been changed meanwhile. */
  replace(database: Queries, row: SealedRow, fresh: Uint8Array): Promise<void>;
}

const FIRST_ID = "00000000-0000-0000-0000-000000000000";

/** Every column that holds something sealed. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  ofThings("the tokens of gateways", "gateways", "id", gatewayTokenPlace),
  ofThings("this server's identities towards gateways", "gateway_links", "gateway_id", deviceKeyPlace),
  ofThings("tokens on their way to agents", "agents", "id", agentTokenPlace),
  {
    what: "answers kept for repeated requests",
    async read(database, after, limit) {
      const [principal = FIRST_ID, method = "", key = ""] = after ? partsOf(after) : [];
      const rows = await database<(RequestKey & { sealed: Uint8Array })[]>`
        select organization_id as "organizationId", principal_id as "principalId", method, key, answer_sealed as sealed
        from idempotency
        where (organization_id, principal_id, method, key) >
          (${after?.place.organizationId ?? FIRST_ID}::uuid, ${principal}::uuid, ${method}, ${key})
        order by organization_id, principal_id, method, key limit ${limit}`;
      return rows.map(({ sealed, ...of }) => ({ place: keptAnswerPlace(of), sealed, name: undefined }));
    },
    async replace(database, row, fresh) {
      const { place, sealed } = row;
      const [principal = "", method = "", key = ""] = partsOf(row);
      await database`
        update idempotency set answer_sealed = ${fresh}
        where organization_id = ${place.organizationId} and principal_id = ${principal}
          and method = ${method} and key = ${key} and answer_sealed = ${sealed}`;
    },
  },
];

/** Principal, method and key of a kept answer. */
function partsOf({ place }: SealedRow): string[] {
  return JSON.parse(place.row);
}

/** A column of things that have an id, and the name of a gateway or of an agent. */
function ofThings(
  what: string,
  table: "gateways" | "gateway_links" | "agents",
  key: "id" | "gateway_id",
  placeOf: (thing: { id: string; organizationId: string }) => SealedPlace,
): SealedColumn {
  const { column } = placeOf({ id: "", organizationId: "" });
  return {
    what,
    async read(database, after, limit) {
      const name =
        table === "gateway_links"
          ? database`(select name from gateways where id = t.gateway_id)`
          : database`t.name`;
      const rows = await database<{ id: string; organizationId: string; sealed: Uint8Array; name: string }[]>`
        select t.${database(key)} as id, t.organization_id as "organizationId", t.${database(column)} as sealed, ${name} as name
        from ${database(table)} t
        where t.${database(column)} is not null and t.${database(key)} > ${after?.place.row ?? FIRST_ID}::uuid
        order by t.${database(key)} limit ${limit}`;
      return rows.map((row) => ({ place: placeOf(row), sealed: row.sealed, name: row.name }));
    },
    async replace(database, { place, sealed }, fresh) {
      await database`
        update ${database(table)} set ${database(column)} = ${fresh}
        where ${database(key)} = ${place.row} and ${database(column)} = ${sealed}`;
    },
  };
}
