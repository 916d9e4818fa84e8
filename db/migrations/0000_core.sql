CREATE TABLE "access_denial" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"caller" text NOT NULL,
	"action" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"request" text collate "C",
	"callback" "bytea"
);
--> statement-breakpoint
CREATE TABLE "agent" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"kind" text NOT NULL,
	"owner" text collate "C" NOT NULL,
	"team" text NOT NULL,
	"purpose" text NOT NULL,
	"parent" text collate "C",
	"state" text NOT NULL,
	"retiring" boolean DEFAULT false NOT NULL,
	"spiffe_id" text,
	"request" text collate "C",
	"registered_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"admitted_at" timestamp(3) with time zone,
	"last_used_at" timestamp(3) with time zone,
	"rotation_due_at" timestamp(3) with time zone,
	"review_due_at" timestamp(3) with time zone,
	"rotation_noted_at" timestamp(3) with time zone,
	"orphaned_at" timestamp(3) with time zone,
	CONSTRAINT "agent_name_unique" UNIQUE("name"),
	CONSTRAINT "agent_spiffe_id_unique" UNIQUE("spiffe_id")
);
--> statement-breakpoint
CREATE TABLE "agent_key" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"agent" text collate "C" NOT NULL,
	"thumbprint" text NOT NULL,
	"jwk" jsonb NOT NULL,
	"state" text NOT NULL,
	"brought_by" jsonb NOT NULL,
	"retire_at" timestamp(3) with time zone,
	"created_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "join_token" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"token_hash" text NOT NULL,
	"agent" text collate "C" NOT NULL,
	"request" text collate "C",
	"made_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"used_at" timestamp(3) with time zone,
	"withdrawn_at" timestamp(3) with time zone,
	"key" text collate "C",
	CONSTRAINT "join_token_token_hash_unique" UNIQUE("token_hash")
);
--> statement-breakpoint
CREATE TABLE "task" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"agent" text collate "C" NOT NULL,
	"parent" text collate "C",
	"chain" text[] NOT NULL,
	"roles" text[],
	"purpose" text NOT NULL,
	"triggered_by" text collate "C",
	"triggered_by_proof" text NOT NULL,
	"trigger" jsonb,
	"state" text NOT NULL,
	"outcome" text,
	"reason" text,
	"policy_version" text NOT NULL,
	"deadline_at" timestamp(3) with time zone NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"owned_at" timestamp(3) with time zone,
	"ended_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "trigger_source" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"jwk" jsonb NOT NULL,
	"thumbprint" text NOT NULL,
	"created_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "used_assertion" (
	"source" text NOT NULL,
	"jti" text NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	CONSTRAINT "used_assertion_source_jti_pk" PRIMARY KEY("source","jti")
);
--> statement-breakpoint
CREATE TABLE "absence" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"person" text collate "C" NOT NULL,
	"stand_in" text collate "C" NOT NULL,
	"starts_at" timestamp(3) with time zone NOT NULL,
	"ends_at" timestamp(3) with time zone NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"withdrawn_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "on_call" (
	"source" text PRIMARY KEY NOT NULL,
	"people" text[] NOT NULL,
	"unmatched" integer NOT NULL,
	"looked_at" timestamp(3) with time zone NOT NULL,
	"code" text
);
--> statement-breakpoint
CREATE TABLE "break_glass" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"request" text collate "C" NOT NULL,
	"agent" text collate "C",
	"task" text collate "C",
	"kit" text collate "C",
	"role" text NOT NULL,
	"gates" text[] NOT NULL,
	"reviewers" text[] NOT NULL,
	"people" text[] NOT NULL,
	"incident" text,
	"continues" integer NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"opened_at" timestamp(3) with time zone,
	"review_due_at" timestamp(3) with time zone,
	"reminded_at" timestamp(3) with time zone,
	"closed_at" timestamp(3) with time zone,
	"closed_by" text collate "C",
	"disposition" text,
	"findings" text,
	"effects" integer,
	CONSTRAINT "break_glass_request_unique" UNIQUE("request")
);
--> statement-breakpoint
CREATE TABLE "certificate" (
	"serial" text PRIMARY KEY NOT NULL,
	"authority" text NOT NULL,
	"agent" text collate "C" NOT NULL,
	"credential" text collate "C",
	"spiffe_id" text NOT NULL,
	"key_thumbprint" text NOT NULL,
	"issued_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"revoked_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "x509_authority" (
	"kid" text PRIMARY KEY NOT NULL,
	"certificate" "bytea" NOT NULL,
	"not_after" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "channel" (
	"name" text PRIMARY KEY NOT NULL,
	"sealed" "bytea" NOT NULL,
	"state" text NOT NULL,
	"because" text,
	"failing_since" timestamp(3) with time zone,
	"last_code" text,
	"set_by" jsonb NOT NULL,
	"set_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "notice" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"request" text collate "C" NOT NULL,
	"channel" text NOT NULL,
	"person" text NOT NULL,
	"kind" text NOT NULL,
	"about" text NOT NULL,
	"state" text NOT NULL,
	"attempts" integer NOT NULL,
	"next_try_at" timestamp(3) with time zone,
	"message" text,
	"created_at" timestamp(3) with time zone NOT NULL,
	"ended_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "credential" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"task" text collate "C" NOT NULL,
	"agent" text collate "C" NOT NULL,
	"chain" text[] NOT NULL,
	"confirmation" jsonb,
	"role" text NOT NULL,
	"issuer" text NOT NULL,
	"target" text NOT NULL,
	"options" jsonb NOT NULL,
	"revocable" boolean NOT NULL,
	"control" text,
	"holder" text NOT NULL,
	"state" text NOT NULL,
	"permit" text collate "C",
	"request" text collate "C",
	"grant" text collate "C",
	"issue_attempt" integer NOT NULL,
	"issue_by" timestamp(3) with time zone NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"issued_at" timestamp(3) with time zone,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"held_until" timestamp(3) with time zone,
	"dies_at" timestamp(3) with time zone NOT NULL,
	"handles" "bytea",
	"last_used_at" timestamp(3) with time zone,
	"sealed" text,
	"seal_thumbprint" text NOT NULL,
	"collected_at" timestamp(3) with time zone,
	"claimed_at" timestamp(3) with time zone,
	"because" text,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_try_at" timestamp(3) with time zone,
	"last_error" text,
	"ended_at" timestamp(3) with time zone,
	"fingerprints" text[] DEFAULT '{}' NOT NULL,
	"leak" text collate "C",
	"leaked_at" timestamp(3) with time zone,
	"seen_gone" boolean,
	"renew_by" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "target_sweep" (
	"target" text PRIMARY KEY NOT NULL,
	"at" timestamp(3) with time zone NOT NULL,
	"outcome" text NOT NULL,
	"found" integer NOT NULL,
	"orphans" integer NOT NULL,
	"vanished" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "deferral" (
	"mark" text PRIMARY KEY NOT NULL,
	"request" text collate "C" NOT NULL,
	"agent" text collate "C" NOT NULL,
	"confirmation" jsonb,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"last_polled_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "found_identity" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"target" text NOT NULL,
	"name" text NOT NULL,
	"kind" text NOT NULL,
	"reference" text NOT NULL,
	"facts" jsonb NOT NULL,
	"risks" text[] NOT NULL,
	"around" text[] NOT NULL,
	"state" text NOT NULL,
	"first_seen_at" timestamp(3) with time zone NOT NULL,
	"last_seen_at" timestamp(3) with time zone NOT NULL,
	"used_at" timestamp(3) with time zone,
	"difference" text NOT NULL,
	"different_at" timestamp(3) with time zone NOT NULL,
	"changes" text[] NOT NULL,
	"guessedOwner" text collate "C",
	"guessed_because" text,
	"agent" text collate "C",
	"decided_by" jsonb,
	"decided_at" timestamp(3) with time zone,
	"reason" text,
	"accepted" text[] NOT NULL
);
--> statement-breakpoint
CREATE TABLE "target_look" (
	"target" text PRIMARY KEY NOT NULL,
	"since" timestamp(3) with time zone NOT NULL,
	"asking_until" timestamp(3) with time zone,
	"asked_at" timestamp(3) with time zone,
	"code" text,
	"answered_at" timestamp(3) with time zone,
	"identities" integer NOT NULL,
	"found" integer NOT NULL,
	"changed" integer NOT NULL,
	"gone" integer NOT NULL,
	"left_out" integer NOT NULL,
	"gaps" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "foreign_bundle" (
	"source" text PRIMARY KEY NOT NULL,
	"trust_domain" text NOT NULL,
	"sealed" "bytea" NOT NULL,
	"fetched_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "glass_kit" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"request" text collate "C" NOT NULL,
	"role" text NOT NULL,
	"target" text NOT NULL,
	"gates" text[] NOT NULL,
	"reviewers" text[] NOT NULL,
	"state" text NOT NULL,
	"seats" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"issue_by" timestamp(3) with time zone,
	"made_at" timestamp(3) with time zone,
	"salt" text,
	"checked_at" timestamp(3) with time zone,
	"checked" text,
	"warned_at" timestamp(3) with time zone,
	"first_seen_at" timestamp(3) with time zone,
	"last_seen_at" timestamp(3) with time zone,
	"effects" integer DEFAULT 0 NOT NULL,
	"told_at" timestamp(3) with time zone,
	"because" text,
	"failure" text,
	"next_try_at" timestamp(3) with time zone,
	"ended_at" timestamp(3) with time zone,
	CONSTRAINT "glass_kit_request_unique" UNIQUE("request")
);
--> statement-breakpoint
CREATE TABLE "grant_use" (
	"permit" text collate "C" PRIMARY KEY NOT NULL,
	"grant" text collate "C" NOT NULL,
	"number" integer NOT NULL,
	"digest" text NOT NULL,
	"at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "standing_grant" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"agent" text collate "C" NOT NULL,
	"owner" text collate "C" NOT NULL,
	"request" text collate "C" NOT NULL,
	"role" text NOT NULL,
	"pattern" text NOT NULL,
	"bounds" jsonb NOT NULL,
	"uses" integer NOT NULL,
	"used" integer DEFAULT 0 NOT NULL,
	"state" text NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"warned_at" timestamp(3) with time zone,
	"because" text,
	"ended_at" timestamp(3) with time zone,
	CONSTRAINT "standing_grant_request_unique" UNIQUE("request"),
	CONSTRAINT "standing_grant_used" CHECK ("standing_grant"."used" between 0 and "standing_grant"."uses")
);
--> statement-breakpoint
CREATE TABLE "leak" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"source" text NOT NULL,
	"scanner" text collate "C",
	"place" text,
	"seen_at" timestamp(3) with time zone,
	"looked_for" jsonb NOT NULL,
	"reported_by" jsonb NOT NULL,
	"reported_at" timestamp(3) with time zone NOT NULL,
	"closed_at" timestamp(3) with time zone,
	"seconds" double precision
);
--> statement-breakpoint
CREATE TABLE "leak_match" (
	"leak" text collate "C" NOT NULL,
	"subject" text NOT NULL,
	"credential" text collate "C",
	"agent" text collate "C" NOT NULL,
	"proof" text NOT NULL,
	"outcome" text NOT NULL,
	"agent_suspended" boolean NOT NULL,
	CONSTRAINT "leak_match_leak_subject_pk" PRIMARY KEY("leak","subject")
);
--> statement-breakpoint
CREATE TABLE "placement" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"credential" text collate "C" NOT NULL,
	"kind" text NOT NULL,
	"path" text NOT NULL,
	"host" text,
	"at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "scanner" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"kind" text NOT NULL,
	"policy" text NOT NULL,
	"public_keys" jsonb NOT NULL,
	"sealed" "bytea",
	"created_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "signing_key" (
	"kid" text PRIMARY KEY NOT NULL,
	"use" text NOT NULL,
	"algorithm" text NOT NULL,
	"driver" text NOT NULL,
	"reference" text NOT NULL,
	"jwk" jsonb NOT NULL,
	"sealed" "bytea",
	"proof" "bytea",
	"state" text NOT NULL,
	"published_at" timestamp(3) with time zone NOT NULL,
	"activates_at" timestamp(3) with time zone NOT NULL,
	"retires_at" timestamp(3) with time zone,
	"revoked" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE "event" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"type" text NOT NULL,
	"time" timestamp(3) with time zone NOT NULL,
	"task" text,
	"request" text,
	"agent" text,
	"control" text,
	"leaf" text NOT NULL
) PARTITION BY RANGE ("id");
--> statement-breakpoint
CREATE TABLE "event_private" (
	"event" text collate "C" NOT NULL,
	"field" text NOT NULL,
	"salt" "bytea" NOT NULL,
	"value" jsonb,
	CONSTRAINT "event_private_event_field_pk" PRIMARY KEY("event","field")
);
--> statement-breakpoint
CREATE TABLE "log_entry" (
	"index" bigint PRIMARY KEY NOT NULL,
	"event" text collate "C" NOT NULL,
	CONSTRAINT "log_entry_event_unique" UNIQUE("event")
);
--> statement-breakpoint
CREATE TABLE "log_head" (
	"singleton" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"size" bigint NOT NULL,
	"root" "bytea" NOT NULL,
	"checkpoint" text NOT NULL,
	"signed_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "log_pending" (
	"sequence" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "log_pending_sequence_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"event" text collate "C" NOT NULL,
	"at" timestamp(3) with time zone NOT NULL,
	CONSTRAINT "log_pending_event_unique" UNIQUE("event")
);
--> statement-breakpoint
CREATE TABLE "log_tile" (
	"level" integer NOT NULL,
	"index" bigint NOT NULL,
	"width" integer NOT NULL,
	"hashes" "bytea" NOT NULL,
	CONSTRAINT "log_tile_level_index_pk" PRIMARY KEY("level","index")
);
--> statement-breakpoint
CREATE TABLE "idempotency" (
	"principal" text NOT NULL,
	"route" text NOT NULL,
	"key" text NOT NULL,
	"fingerprint" text NOT NULL,
	"resource" text,
	"locked_until" timestamp(3) with time zone,
	"status" integer,
	"reply" "bytea",
	"created_at" timestamp(3) with time zone NOT NULL,
	CONSTRAINT "idempotency_principal_route_key_pk" PRIMARY KEY("principal","route","key")
);
--> statement-breakpoint
CREATE TABLE "integration" (
	"name" text PRIMARY KEY NOT NULL,
	"sealed" "bytea" NOT NULL,
	"updated_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sensor_cursor" (
	"target" text PRIMARY KEY NOT NULL,
	"file" text NOT NULL,
	"offset" bigint NOT NULL,
	"read_at" timestamp(3) with time zone NOT NULL,
	"reported_at" timestamp(3) with time zone NOT NULL,
	"alive_at" timestamp(3) with time zone NOT NULL,
	"paths" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sensor_session" (
	"target" text NOT NULL,
	"session" text NOT NULL,
	"login" text NOT NULL,
	"credential" text collate "C",
	"opened_at" timestamp(3) with time zone NOT NULL,
	"statements" integer NOT NULL,
	CONSTRAINT "sensor_session_target_session_pk" PRIMARY KEY("target","session")
);
--> statement-breakpoint
CREATE TABLE "wake" (
	"workflow" text PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"agent" text,
	"sequence" bigint NOT NULL,
	"at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "worker" (
	"id" text PRIMARY KEY NOT NULL,
	"seen_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "passkey" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"person" text collate "C" NOT NULL,
	"credential_id" text NOT NULL,
	"public_key" "bytea" NOT NULL,
	"counter" bigint NOT NULL,
	"backup_eligible" boolean NOT NULL,
	"transports" text[] NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"last_used_at" timestamp(3) with time zone,
	"removed_at" timestamp(3) with time zone,
	CONSTRAINT "passkey_credential_id_unique" UNIQUE("credential_id")
);
--> statement-breakpoint
CREATE TABLE "passkey_challenge" (
	"challenge" text PRIMARY KEY NOT NULL,
	"purpose" text NOT NULL,
	"person" text collate "C",
	"session" text collate "C",
	"request" text collate "C",
	"grounds" jsonb,
	"salt" "bytea",
	"expires_at" timestamp(3) with time zone NOT NULL,
	"used_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "person" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"email" text,
	"roles" text[] NOT NULL,
	"groups" text[] NOT NULL,
	"slack_user_id" text,
	"slack_binding" text,
	"state" text NOT NULL,
	"invited_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "session" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"token_hash" text NOT NULL,
	"person" text collate "C" NOT NULL,
	"method" text NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"ended_at" timestamp(3) with time zone,
	CONSTRAINT "session_token_hash_unique" UNIQUE("token_hash")
);
--> statement-breakpoint
CREATE TABLE "sign_in_link" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"person" text collate "C" NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"used_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "active_policy" (
	"singleton" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"version" text NOT NULL,
	"activated_at" timestamp(3) with time zone NOT NULL,
	"activated_by" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "installation" (
	"singleton" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"issuer" text NOT NULL,
	"trust_domain" text NOT NULL,
	"log_origin" text NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "policy" (
	"version" text PRIMARY KEY NOT NULL,
	"files" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "redemption" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"permit" text collate "C" NOT NULL,
	"number" integer NOT NULL,
	"redeemed_at" timestamp(3) with time zone NOT NULL,
	"receipt_due_at" timestamp(3) with time zone NOT NULL,
	"missed_at" timestamp(3) with time zone,
	"recorded_at" timestamp(3) with time zone,
	"outcome" text,
	"digest_run" text,
	"digest_matches" boolean,
	"result_digest" text
);
--> statement-breakpoint
CREATE TABLE "permit" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"request" text collate "C" NOT NULL,
	"digest" text NOT NULL,
	"state" text NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"redeemed_at" timestamp(3) with time zone,
	"uses" integer DEFAULT 1 NOT NULL,
	"used" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "permit_request_unique" UNIQUE("request")
);
--> statement-breakpoint
CREATE TABLE "request" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"agent" text collate "C",
	"task" text collate "C",
	"requester" jsonb NOT NULL,
	"involved" jsonb NOT NULL,
	"state" text NOT NULL,
	"action" jsonb NOT NULL,
	"digest" text NOT NULL,
	"salt" "bytea" NOT NULL,
	"evaluation" text collate "C" NOT NULL,
	"policy_version" text NOT NULL,
	"controls" text[] NOT NULL,
	"why_held" text[] NOT NULL,
	"routes" jsonb NOT NULL,
	"risk" text,
	"names" jsonb NOT NULL,
	"audience" text,
	"seal_to" jsonb,
	"callback_url" text,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"first_expires_at" timestamp(3) with time zone NOT NULL,
	"narrowable" jsonb NOT NULL,
	"narrowed" jsonb,
	"questions" jsonb NOT NULL,
	"decided_at" timestamp(3) with time zone,
	"decided_by" text collate "C",
	"approved_until" timestamp(3) with time zone,
	"denial" jsonb,
	"failure" text,
	"credential" text collate "C"
);
--> statement-breakpoint
CREATE TABLE "viewing" (
	"request" text collate "C" NOT NULL,
	"person" text collate "C" NOT NULL,
	"opened_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "vote" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"request" text collate "C" NOT NULL,
	"person" text collate "C" NOT NULL,
	"decision" text NOT NULL,
	"channel" text NOT NULL,
	"strength" text NOT NULL,
	"shown" text NOT NULL,
	"narrow" jsonb,
	"limits" jsonb,
	"reason" text,
	"at" timestamp(3) with time zone NOT NULL,
	"in_stead_of" text collate "C",
	"absence" text collate "C",
	"stages" jsonb,
	"slack_binding" text
);
--> statement-breakpoint
CREATE TABLE "run" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"task" text collate "C" NOT NULL,
	"agent" text collate "C" NOT NULL,
	"role" text,
	"target" text NOT NULL,
	"upstream" text,
	"call" text,
	"retry" text,
	"sends" integer NOT NULL,
	"control" text,
	"effect" text NOT NULL,
	"digest" text NOT NULL,
	"request" text collate "C",
	"permit" text collate "C",
	"credential" text collate "C",
	"state" text NOT NULL,
	"attempt" integer NOT NULL,
	"run_by" timestamp(3) with time zone NOT NULL,
	"transaction" text,
	"outcome" text,
	"code" text,
	"rows" integer,
	"status" integer,
	"bytes" integer,
	"is_cut" boolean,
	"is_masked" boolean,
	"result_digest" text,
	"sealed" text,
	"seal_thumbprint" text NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"finished_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "review" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"title" text NOT NULL,
	"state" text NOT NULL,
	"scope_digest" text NOT NULL,
	"opened_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"due_at" timestamp(3) with time zone NOT NULL,
	"closed_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "review_line" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"review" text collate "C" NOT NULL,
	"agent" text collate "C" NOT NULL,
	"credential" text collate "C",
	"snapshot" jsonb NOT NULL,
	"recommendation" text NOT NULL,
	"basis" text NOT NULL,
	"decision" text,
	"decided_by" text collate "C",
	"decided_at" timestamp(3) with time zone,
	"reason" text
);
--> statement-breakpoint
CREATE TABLE "slack_dialog" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"slack_user" text NOT NULL,
	"request" text collate "C" NOT NULL,
	"shown" text NOT NULL,
	"channel" text NOT NULL,
	"ts" text NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "slack_inbox" (
	"digest" text PRIMARY KEY NOT NULL,
	"sealed" "bytea" NOT NULL,
	"at" timestamp(3) with time zone NOT NULL,
	"attempts" integer NOT NULL,
	"next_try_at" timestamp(3) with time zone NOT NULL,
	"worked_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "slack_link" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"slack_user" text NOT NULL,
	"slack_name" text NOT NULL,
	"slack_team" text NOT NULL,
	"email" text,
	"created_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	"used_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "slack_message" (
	"request" text collate "C" NOT NULL,
	"recipient" text NOT NULL,
	"purpose" text NOT NULL,
	"channel" text NOT NULL,
	"ts" text NOT NULL,
	"shown" text NOT NULL,
	"decidable" boolean NOT NULL,
	"face" text NOT NULL,
	"says" text NOT NULL,
	"threaded" integer NOT NULL,
	"is_final" boolean NOT NULL,
	"at" timestamp(3) with time zone NOT NULL,
	CONSTRAINT "slack_message_request_recipient_purpose_pk" PRIMARY KEY("request","recipient","purpose")
);
--> statement-breakpoint
CREATE TABLE "slack_posting" (
	"request" text collate "C" NOT NULL,
	"recipient" text NOT NULL,
	"at" timestamp(3) with time zone NOT NULL,
	CONSTRAINT "slack_posting_request_recipient_pk" PRIMARY KEY("request","recipient")
);
--> statement-breakpoint
CREATE TABLE "secret_custody" (
	"credential" text collate "C" NOT NULL,
	"version" integer NOT NULL,
	"secret" text NOT NULL,
	"agent" text collate "C" NOT NULL,
	"task" text collate "C" NOT NULL,
	"given_at" timestamp(3) with time zone NOT NULL,
	"ended_at" timestamp(3) with time zone,
	CONSTRAINT "secret_custody_credential_version_pk" PRIMARY KEY("credential","version")
);
--> statement-breakpoint
CREATE TABLE "static_secret" (
	"name" text PRIMARY KEY NOT NULL,
	"version" integer NOT NULL,
	"sealed" "bytea",
	"sealed_key" "bytea",
	"put_by" text NOT NULL,
	"put_at" timestamp(3) with time zone NOT NULL,
	"tainted_at" timestamp(3) with time zone,
	"reminded_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "receiver" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"url" text NOT NULL,
	"audience" text NOT NULL,
	"signals" text[] NOT NULL,
	"state" text NOT NULL,
	"because" text,
	"wise" boolean NOT NULL,
	"reasons" boolean NOT NULL,
	"token" "bytea",
	"failing_since" timestamp(3) with time zone,
	"created_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "signal_delivery" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"receiver" text collate "C" NOT NULL,
	"event" text collate "C",
	"signal" text NOT NULL,
	"form" text NOT NULL,
	"subject" text NOT NULL,
	"nonce" text,
	"state" text NOT NULL,
	"attempts" integer NOT NULL,
	"next_try_at" timestamp(3) with time zone,
	"tries" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"ended_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "revocation" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"by" text NOT NULL,
	"of" text,
	"because" text NOT NULL,
	"reason" text NOT NULL,
	"ordered_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"credentials" integer NOT NULL,
	"done_at" timestamp(3) with time zone
);
--> statement-breakpoint
CREATE TABLE "revocation_lease" (
	"revocation" text collate "C" NOT NULL,
	"credential" text collate "C" NOT NULL,
	CONSTRAINT "revocation_lease_revocation_credential_pk" PRIMARY KEY("revocation","credential")
);
--> statement-breakpoint
CREATE TABLE "stop" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"revocation" text collate "C" NOT NULL,
	"reason" text NOT NULL,
	"ordered_by" jsonb NOT NULL,
	"created_at" timestamp(3) with time zone NOT NULL,
	"lifted_at" timestamp(3) with time zone,
	"lifted_by" text collate "C"
);
--> statement-breakpoint
CREATE TABLE "dpop_proof" (
	"thumbprint" text NOT NULL,
	"jti" text NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	CONSTRAINT "dpop_proof_thumbprint_jti_pk" PRIMARY KEY("thumbprint","jti")
);
--> statement-breakpoint
CREATE TABLE "revoked_token" (
	"jti" text PRIMARY KEY NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "status_list" (
	"id" integer PRIMARY KEY NOT NULL,
	"opened_at" timestamp(3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "token_status" (
	"list" integer NOT NULL,
	"index" integer NOT NULL,
	"jti" text NOT NULL,
	"credential" text collate "C",
	"agents" text[] NOT NULL,
	"key" text collate "C",
	"way_in" text,
	"task" text collate "C",
	"signed_in_at" timestamp(3) with time zone NOT NULL,
	"expires_at" timestamp(3) with time zone NOT NULL,
	CONSTRAINT "token_status_list_index_pk" PRIMARY KEY("list","index")
);
--> statement-breakpoint
ALTER TABLE "access_denial" ADD CONSTRAINT "access_denial_request_request_id_fk" FOREIGN KEY ("request") REFERENCES "public"."request"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "agent" ADD CONSTRAINT "agent_owner_person_id_fk" FOREIGN KEY ("owner") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "agent_key" ADD CONSTRAINT "agent_key_agent_agent_id_fk" FOREIGN KEY ("agent") REFERENCES "public"."agent"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "join_token" ADD CONSTRAINT "join_token_agent_agent_id_fk" FOREIGN KEY ("agent") REFERENCES "public"."agent"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "join_token" ADD CONSTRAINT "join_token_key_agent_key_id_fk" FOREIGN KEY ("key") REFERENCES "public"."agent_key"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task" ADD CONSTRAINT "task_agent_agent_id_fk" FOREIGN KEY ("agent") REFERENCES "public"."agent"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task" ADD CONSTRAINT "task_triggered_by_person_id_fk" FOREIGN KEY ("triggered_by") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "absence" ADD CONSTRAINT "absence_person_person_id_fk" FOREIGN KEY ("person") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "absence" ADD CONSTRAINT "absence_stand_in_person_id_fk" FOREIGN KEY ("stand_in") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "break_glass" ADD CONSTRAINT "break_glass_request_request_id_fk" FOREIGN KEY ("request") REFERENCES "public"."request"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "break_glass" ADD CONSTRAINT "break_glass_kit_glass_kit_id_fk" FOREIGN KEY ("kit") REFERENCES "public"."glass_kit"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "certificate" ADD CONSTRAINT "certificate_agent_agent_id_fk" FOREIGN KEY ("agent") REFERENCES "public"."agent"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "certificate" ADD CONSTRAINT "certificate_credential_credential_id_fk" FOREIGN KEY ("credential") REFERENCES "public"."credential"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credential" ADD CONSTRAINT "credential_task_task_id_fk" FOREIGN KEY ("task") REFERENCES "public"."task"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credential" ADD CONSTRAINT "credential_agent_agent_id_fk" FOREIGN KEY ("agent") REFERENCES "public"."agent"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "deferral" ADD CONSTRAINT "deferral_request_request_id_fk" FOREIGN KEY ("request") REFERENCES "public"."request"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "found_identity" ADD CONSTRAINT "found_identity_guessedOwner_person_id_fk" FOREIGN KEY ("guessedOwner") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "glass_kit" ADD CONSTRAINT "glass_kit_request_request_id_fk" FOREIGN KEY ("request") REFERENCES "public"."request"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "grant_use" ADD CONSTRAINT "grant_use_grant_standing_grant_id_fk" FOREIGN KEY ("grant") REFERENCES "public"."standing_grant"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "standing_grant" ADD CONSTRAINT "standing_grant_agent_agent_id_fk" FOREIGN KEY ("agent") REFERENCES "public"."agent"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "standing_grant" ADD CONSTRAINT "standing_grant_owner_person_id_fk" FOREIGN KEY ("owner") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "standing_grant" ADD CONSTRAINT "standing_grant_request_request_id_fk" FOREIGN KEY ("request") REFERENCES "public"."request"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "passkey" ADD CONSTRAINT "passkey_person_person_id_fk" FOREIGN KEY ("person") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "session" ADD CONSTRAINT "session_person_person_id_fk" FOREIGN KEY ("person") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sign_in_link" ADD CONSTRAINT "sign_in_link_person_person_id_fk" FOREIGN KEY ("person") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "active_policy" ADD CONSTRAINT "active_policy_version_policy_version_fk" FOREIGN KEY ("version") REFERENCES "public"."policy"("version") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "redemption" ADD CONSTRAINT "redemption_permit_permit_id_fk" FOREIGN KEY ("permit") REFERENCES "public"."permit"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "permit" ADD CONSTRAINT "permit_request_request_id_fk" FOREIGN KEY ("request") REFERENCES "public"."request"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vote" ADD CONSTRAINT "vote_request_request_id_fk" FOREIGN KEY ("request") REFERENCES "public"."request"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "vote" ADD CONSTRAINT "vote_person_person_id_fk" FOREIGN KEY ("person") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "run" ADD CONSTRAINT "run_task_task_id_fk" FOREIGN KEY ("task") REFERENCES "public"."task"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "run" ADD CONSTRAINT "run_agent_agent_id_fk" FOREIGN KEY ("agent") REFERENCES "public"."agent"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "review_line" ADD CONSTRAINT "review_line_review_review_id_fk" FOREIGN KEY ("review") REFERENCES "public"."review"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "review_line" ADD CONSTRAINT "review_line_decided_by_person_id_fk" FOREIGN KEY ("decided_by") REFERENCES "public"."person"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "revocation_lease" ADD CONSTRAINT "revocation_lease_revocation_revocation_id_fk" FOREIGN KEY ("revocation") REFERENCES "public"."revocation"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "revocation_lease" ADD CONSTRAINT "revocation_lease_credential_credential_id_fk" FOREIGN KEY ("credential") REFERENCES "public"."credential"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "stop" ADD CONSTRAINT "stop_revocation_revocation_id_fk" FOREIGN KEY ("revocation") REFERENCES "public"."revocation"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "token_status" ADD CONSTRAINT "token_status_list_status_list_id_fk" FOREIGN KEY ("list") REFERENCES "public"."status_list"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "access_denial_request" ON "access_denial" USING btree ("request");--> statement-breakpoint
CREATE INDEX "agent_owner" ON "agent" USING btree ("owner");--> statement-breakpoint
CREATE UNIQUE INDEX "agent_key_thumbprint" ON "agent_key" USING btree ("thumbprint");--> statement-breakpoint
CREATE INDEX "join_token_agent" ON "join_token" USING btree ("agent");--> statement-breakpoint
CREATE INDEX "task_agent" ON "task" USING btree ("agent");--> statement-breakpoint
CREATE INDEX "task_parent" ON "task" USING btree ("parent");--> statement-breakpoint
CREATE INDEX "task_state" ON "task" USING btree ("state","deadline_at");--> statement-breakpoint
CREATE INDEX "absence_person" ON "absence" USING btree ("person","ends_at");--> statement-breakpoint
CREATE INDEX "absence_stand_in" ON "absence" USING btree ("stand_in","ends_at");--> statement-breakpoint
CREATE INDEX "break_glass_open" ON "break_glass" USING btree ("opened_at","closed_at");--> statement-breakpoint
CREATE INDEX "certificate_agent" ON "certificate" USING btree ("agent");--> statement-breakpoint
CREATE INDEX "certificate_credential" ON "certificate" USING btree ("credential");--> statement-breakpoint
CREATE INDEX "certificate_revoked" ON "certificate" USING btree ("authority","expires_at") WHERE "certificate"."revoked_at" is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "notice_once" ON "notice" USING btree ("request","channel","person","kind","about");--> statement-breakpoint
CREATE INDEX "notice_due" ON "notice" USING btree ("channel","next_try_at") WHERE "notice"."state" = 'pending';--> statement-breakpoint
CREATE INDEX "notice_person" ON "notice" USING btree ("person","ended_at");--> statement-breakpoint
CREATE INDEX "credential_task" ON "credential" USING btree ("task");--> statement-breakpoint
CREATE INDEX "credential_agent" ON "credential" USING btree ("agent");--> statement-breakpoint
CREATE INDEX "credential_grant" ON "credential" USING btree ("grant") WHERE "credential"."grant" is not null;--> statement-breakpoint
CREATE INDEX "credential_forced" ON "credential" USING btree ("target") WHERE "credential"."state" = 'force_closed' and not "credential"."seen_gone";--> statement-breakpoint
CREATE INDEX "credential_alive" ON "credential" USING btree ("target","expires_at") WHERE "credential"."state" in ('pending', 'active', 'revoking', 'revoke_failed');--> statement-breakpoint
CREATE INDEX "credential_fingerprints" ON "credential" USING gin ("fingerprints");--> statement-breakpoint
CREATE UNIQUE INDEX "credential_permit_once" ON "credential" USING btree ("permit") WHERE "credential"."state" in ('pending', 'active');--> statement-breakpoint
CREATE INDEX "deferral_expires" ON "deferral" USING btree ("expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "found_identity_name" ON "found_identity" USING btree ("target","kind","name");--> statement-breakpoint
CREATE INDEX "found_identity_agent" ON "found_identity" USING btree ("agent");--> statement-breakpoint
CREATE INDEX "glass_kit_target" ON "glass_kit" USING btree ("target","state");--> statement-breakpoint
CREATE UNIQUE INDEX "grant_use_once" ON "grant_use" USING btree ("grant","number");--> statement-breakpoint
CREATE INDEX "standing_grant_agent" ON "standing_grant" USING btree ("agent","state");--> statement-breakpoint
CREATE INDEX "leak_match_credential" ON "leak_match" USING btree ("credential");--> statement-breakpoint
CREATE INDEX "placement_credential" ON "placement" USING btree ("credential");--> statement-breakpoint
CREATE UNIQUE INDEX "signing_key_one_active" ON "signing_key" USING btree ("use") WHERE "signing_key"."state" = 'active';--> statement-breakpoint
CREATE UNIQUE INDEX "signing_key_one_next" ON "signing_key" USING btree ("use") WHERE "signing_key"."state" = 'published';--> statement-breakpoint
CREATE INDEX "event_task" ON "event" USING btree ("task","id");--> statement-breakpoint
CREATE INDEX "event_request" ON "event" USING btree ("request","id");--> statement-breakpoint
CREATE INDEX "event_agent" ON "event" USING btree ("agent","id");--> statement-breakpoint
CREATE INDEX "event_type" ON "event" USING btree ("type","id");--> statement-breakpoint
CREATE INDEX "event_control" ON "event" USING btree ("control","id");--> statement-breakpoint
CREATE INDEX "idempotency_age" ON "idempotency" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "passkey_person" ON "passkey" USING btree ("person");--> statement-breakpoint
CREATE INDEX "passkey_challenge_expiry" ON "passkey_challenge" USING btree ("expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "person_slack" ON "person" USING btree ("slack_user_id");--> statement-breakpoint
CREATE UNIQUE INDEX "person_email" ON "person" USING btree (lower("email")) WHERE "person"."email" is not null;--> statement-breakpoint
CREATE INDEX "session_person" ON "session" USING btree ("person");--> statement-breakpoint
CREATE UNIQUE INDEX "redemption_once" ON "redemption" USING btree ("permit","number");--> statement-breakpoint
CREATE INDEX "redemption_due" ON "redemption" USING btree ("receipt_due_at");--> statement-breakpoint
CREATE INDEX "request_task" ON "request" USING btree ("task");--> statement-breakpoint
CREATE INDEX "request_state" ON "request" USING btree ("state","expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "request_live_once" ON "request" USING btree ("task","digest") WHERE "request"."state" in ('pending', 'approved');--> statement-breakpoint
CREATE UNIQUE INDEX "viewing_once" ON "viewing" USING btree ("request","person");--> statement-breakpoint
CREATE UNIQUE INDEX "vote_once" ON "vote" USING btree ("request","person");--> statement-breakpoint
CREATE INDEX "run_task" ON "run" USING btree ("task");--> statement-breakpoint
CREATE INDEX "run_state" ON "run" USING btree ("state","run_by");--> statement-breakpoint
CREATE UNIQUE INDEX "run_request_once" ON "run" USING btree ("request");--> statement-breakpoint
CREATE INDEX "review_line_review" ON "review_line" USING btree ("review");--> statement-breakpoint
CREATE INDEX "slack_inbox_due" ON "slack_inbox" USING btree ("worked_at","next_try_at");--> statement-breakpoint
CREATE INDEX "slack_message_ts" ON "slack_message" USING btree ("ts");--> statement-breakpoint
CREATE INDEX "slack_message_open" ON "slack_message" USING btree ("is_final","at");--> statement-breakpoint
CREATE INDEX "secret_custody_secret" ON "secret_custody" USING btree ("secret","credential");--> statement-breakpoint
CREATE INDEX "signal_delivery_due" ON "signal_delivery" USING btree ("next_try_at") WHERE "signal_delivery"."state" = 'pending';--> statement-breakpoint
CREATE INDEX "signal_delivery_order" ON "signal_delivery" USING btree ("receiver","subject","id") WHERE "signal_delivery"."state" = 'pending';--> statement-breakpoint
CREATE INDEX "signal_delivery_receiver" ON "signal_delivery" USING btree ("receiver","id");--> statement-breakpoint
CREATE UNIQUE INDEX "signal_delivery_once" ON "signal_delivery" USING btree ("receiver","event","form");--> statement-breakpoint
CREATE INDEX "revocation_lease_credential" ON "revocation_lease" USING btree ("credential");--> statement-breakpoint
CREATE UNIQUE INDEX "stop_one_at_a_time" ON "stop" USING btree (("lifted_at" is null)) WHERE "stop"."lifted_at" is null;--> statement-breakpoint
CREATE INDEX "token_status_credential" ON "token_status" USING btree ("credential");