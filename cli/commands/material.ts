// What the usual clients of each kind of access read from their environment.
import type { Material } from '../../sdk/index.ts';

/** The one text that a credential comes down to: an address with its login, or a token. */
export function lineOf(material: Material): string {
  switch (material.kind) {
    case 'postgres':
    case 'mysql':
    case 'redis':
      return material.url;
    case 'jwt':
    case 'github':
    case 'kubernetes':
      return material.token;
    case 'oauth':
      return material.access_token;
    case 'aws':
      return material.session_token;
    case 'static':
      return material.value;
  }
}

/** Variables under which psql, the AWS tools, gh and their like find it without an argument. */
export function variablesOf(material: Material): Record<string, string> {
  switch (material.kind) {
    case 'postgres':
      return {
        PGHOST: material.host,
        PGPORT: String(material.port),
        PGDATABASE: material.database,
        PGUSER: material.username,
        PGPASSWORD: material.password,
        DATABASE_URL: material.url,
      };
    case 'mysql':
      return {
        MYSQL_HOST: material.host,
        MYSQL_TCP_PORT: String(material.port),
        MYSQL_DATABASE: material.database,
        MYSQL_USER: material.username,
        MYSQL_PWD: material.password,
        DATABASE_URL: material.url,
      };
    case 'redis':
      return { REDISCLI_AUTH: material.password, REDIS_URL: material.url };
    case 'aws':
      return {
        AWS_ACCESS_KEY_ID: material.access_key_id,
        AWS_SECRET_ACCESS_KEY: material.secret_access_key,
        AWS_SESSION_TOKEN: material.session_token,
        AWS_REGION: material.region,
      };
    case 'github':
      return { GH_TOKEN: material.token, GITHUB_TOKEN: material.token };
    case 'static':
      return { SECRET: material.value };
    case 'oauth':
      return { BEARER_TOKEN: material.access_token };
    case 'jwt':
    case 'kubernetes':
      return { BEARER_TOKEN: material.token };
  }
}
