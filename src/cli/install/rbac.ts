import { type Json, labelled } from './object.ts';
import type { Values } from './values.ts';
import { WEBHOOK_CONFIGURATION } from './webhooks.ts';

const NAME = 'remora-control';
const READ = ['get', 'list', 'watch'];
const GROUPS = ['networking.istio.io', 'security.istio.io', 'telemetry.istio.io', 'remora.dev'];

/** What the control server may do, and a line for each on why. Secrets: of its own namespace alone. */
export function rbacManifests({ namespace }: Values): Json[] {
  const role = (kind: 'Role' | 'ClusterRole'): Json => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name: NAME });
  const subjects = [{ kind: 'ServiceAccount', name: NAME, namespace }];
  return [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: labelled(NAME),
      rules: [
        // What the mesh is made of.
        { apiGroups: [''], resources: ['services', 'endpoints', 'pods', 'nodes', 'namespaces'], verbs: READ },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
        { apiGroups: [...GROUPS, 'gateway.networking.k8s.io'], resources: ['*'], verbs: READ },
        // What became of each object, by the leader.
        { apiGroups: GROUPS, resources: ['*/status'], verbs: ['update', 'patch'] },
        // Who a proxy is that asks for a certificate.
        { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
        // The root certificate, in each namespace.
        { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
        {
          apiGroups: [''],
          resources: ['configmaps'],
          resourceNames: ['istio-ca-root-cert'],
          verbs: ['get', 'update', 'patch'],
        },
        // The certificate of its own webhooks.
        {
          apiGroups: ['admissionregistration.k8s.io'],
          resources: ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
          resourceNames: [WEBHOOK_CONFIGURATION],
          verbs: ['get', 'patch'],
        },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: labelled(NAME),
      roleRef: role('ClusterRole'),
      subjects,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: labelled(NAME, namespace),
      rules: [
        // The CA's key, and certificates of gateways beside it; each other gateway's namespace has a Role of its own.
        { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch', 'create', 'update'] },
        { apiGroups: [''], resources: ['configmaps'], verbs: READ },
        // Who is the leader.
        {
          apiGroups: ['coordination.k8s.io'],
          resources: ['leases'],
          verbs: ['get', 'list', 'watch', 'create', 'update'],
        },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: labelled(NAME, namespace),
      roleRef: role('Role'),
      subjects,
    },
  ];
}
