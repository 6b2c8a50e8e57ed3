// A program that uses the API with a client made from docs/openapi.json: its type check and its
// run prove that the description is complete. test/typescript_test.go runs it.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

const [, , baseUrl = "", key = ""] = process.argv;
const api = createClient<paths>({ baseUrl, headers: { "x-internal-api-key": key } });
const used = new Set<string>();

// must returns the data of a successful answer, which has the type that the description gives it.
function must<T>(operation: string, answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${operation}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  }
  used.add(operation);
  return answer.data;
}

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`not so: ${what}`);
}

// lookAround reads health, integrations, events and figures.
async function lookAround(): Promise<components["schemas"]["Event"]> {
  const health = must("getHealth", await api.GET("/api/v1/health"));
  check(health.data.status === "ok", "the gateway is well");

  const integrations = must("getIntegrations", await api.GET("/api/v1/integrations", { params: { query: { activeOnly: true } } }));
  check(integrations.meta.total >= 2 && integrations.data.some((i) => i.source === "acme" && i.destinations.length > 0), "the seeded integrations");

  const first = must("getEvents", await api.GET("/api/v1/events", { params: { query: { source: "acme", sortBy: "receivedAt", pageSize: 1 } } }));
  const cursor = first.meta.nextCursor;
  check(cursor !== null, "there is a second page");
  const second = must("getEvents", await api.GET("/api/v1/events", { params: { query: { source: "acme", sortBy: "receivedAt", pageSize: 1, cursor } } }));
  const event = second.data[0];
  check(event !== undefined && event.id !== first.data[0]?.id, "another event");

  const stats = must("getStats", await api.GET("/api/v1/stats"));
  check(typeof stats.data === "object", "figures");
  return event;
}

// replay reads one event and sends it again, alone and as a dry run in bulk.
async function replay(event: components["schemas"]["Event"]): Promise<void> {
  const path = { id: event.id };
  const whole = must("getEventsById", await api.GET("/api/v1/events/{id}", { params: { path } }));
  check(whole.data.event.externalEventId === event.externalEventId && atob(whole.data.webhook?.rawBody ?? "").includes("{"), "the webhook's bytes");
  const status = must("getEventsByIdStatus", await api.GET("/api/v1/events/{id}/status", { params: { path } }));
  check(status.data.eventId === event.id && status.data.jobs.length > 0, "its jobs");

  const asked = must("postEventsByIdReplay", await api.POST("/api/v1/events/{id}/replay", { params: { path }, body: { reason: "the client's test", requestedBy: "typescript" } }));
  const request = must(
    "getReplayRequestsById",
    await api.GET("/api/v1/replay-requests/{id}", { params: { path: { id: asked.data.replayRequestId } } }),
  );
  check(request.data.eventId === event.id && request.data.requestedBy === "typescript", "the replay request");

  const counted = must("postReplays", await api.POST("/api/v1/replays", { body: { dryRun: true, reason: "to count", filter: { source: "acme" } } }));
  check("events" in counted.data && counted.data.events > 0, "a count");
  const deliveries = must("getDeliveries", await api.GET("/api/v1/deliveries", { params: { query: { eventId: event.id, status: "success" } } }));
  check(deliveries.data.every((d) => d.normalizedEventId === event.id), "its attempts");
}

// change makes an integration, changes it and removes it.
async function change(): Promise<void> {
  const made = must(
    "postIntegrations",
    await api.POST("/api/v1/integrations", {
      body: { source: "from-typescript", provider: "acme", secrets: ["a-secret-of-this-test"], destinations: [{ url: "http://127.0.0.1:9/hooks" }] },
    }),
  );
  const path = { id: made.data.id };
  const changed = must("patchIntegrationsById", await api.PATCH("/api/v1/integrations/{id}", { params: { path }, body: { isActive: false } }));
  check(changed.data.isActive === false && changed.data.source === "from-typescript", "the change");
  must("deleteIntegrationsById", await api.DELETE("/api/v1/integrations/{id}", { params: { path } }));
}

// refusals checks that errors have a type, and that mistakes are found before they are sent.
async function refusals(): Promise<void> {
  const missing = await api.GET("/api/v1/events/{id}", { params: { path: { id: "0190a1b2-0000-7000-8000-000000000001" } } });
  check(missing.error?.error.code === "NOT_FOUND", "an error's code");

  // @ts-expect-error an unknown parameter
  const unknown = await api.GET("/api/v1/events", { params: { query: { state: "failed" } } });
  check(unknown.error?.error.details?.[0]?.field === "state", "the mistake is named");
  // @ts-expect-error a value that is none of the allowed
  const value = await api.GET("/api/v1/events", { params: { query: { status: "lost" } } });
  check(value.response.status === 400, "an unknown status");
  // @ts-expect-error a body without its reason
  const reason = await api.POST("/api/v1/events/{id}/replay", { params: { path: { id: "0190a1b2-0000-7000-8000-000000000001" } }, body: { requestedBy: "typescript" } });
  check(reason.response.status === 400, "a missing reason");
  // @ts-expect-error a method that the path does not have
  const method = await api.PUT("/api/v1/events", {});
  check(method.response.status === 405, "a wrong method");
}

await replay(await lookAround());
await change();
await refusals();
console.log(`${used.size} operations: ${[...used].sort().join(", ")}`);
